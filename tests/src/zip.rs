//! A small ZIP writer, with the extra field that real archives have.

use std::io::Write;

use flate2::write::DeflateEncoder;
use flate2::{Compression, Crc};

/// A ZIP archive of these entries: name, content, whether it is deflated.
///
/// # Panics
/// Never.
pub fn zip(entries: &[(&str, &[u8], bool)]) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for (name, content, deflated) in entries {
        let mut crc = Crc::new();
        crc.update(content);
        let packed = if *deflated {
            let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(content).expect("memory takes it");
            encoder.finish().expect("memory takes it")
        } else {
            content.to_vec()
        };
        let offset = out.len() as u32;
        // Version, flags, method, time and date, checksum, sizes, length of name and extras.
        let mut common = vec![20, 0, 0, 0];
        common.extend((if *deflated { 8u16 } else { 0 }).to_le_bytes());
        common.extend([0; 4]);
        common.extend(crc.sum().to_le_bytes());
        common.extend((packed.len() as u32).to_le_bytes());
        common.extend((content.len() as u32).to_le_bytes());
        common.extend((name.len() as u16).to_le_bytes());

        out.extend(b"PK\x03\x04");
        out.extend(&common);
        out.extend(3u16.to_le_bytes());
        out.extend(name.as_bytes());
        out.extend(b"ext");
        out.extend(packed);

        directory.extend(b"PK\x01\x02\x14\x00");
        directory.extend(&common);
        directory.extend([0; 12]);
        directory.extend(offset.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let start = out.len() as u32;
    out.extend(&directory);
    out.extend(b"PK\x05\x06\x00\x00\x00\x00");
    out.extend((entries.len() as u16).to_le_bytes());
    out.extend((entries.len() as u16).to_le_bytes());
    out.extend((directory.len() as u32).to_le_bytes());
    out.extend(start.to_le_bytes());
    out.extend([0, 0]);
    out
}
