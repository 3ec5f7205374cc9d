//! Who votes, without keeping who it is.

use std::net::IpAddr;
use std::path::Path;

use camelid_files::{digest, write_private};
use rand::TryRng;
use rand::rngs::SysRng;
use sha2::{Digest, Sha256};

use crate::arena::error::ArenaError;

/// Block of SHA-256, in bytes.
const BLOCK: usize = 64;
/// How every stored user begins; no address does.
const PREFIX: &str = "user-";

/// The key by which addresses become users. Without it a user cannot be told from an address, and
/// the four billion addresses of IPv4 cannot be tried out.
#[derive(Clone)]
pub struct UserKey([u8; 32]);

impl std::fmt::Debug for UserKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("UserKey")
    }
}

impl UserKey {
    /// Reads the key, or makes it where the file is not there yet; others cannot read it.
    ///
    /// # Errors
    /// [`ArenaError::Content`] for a file that holds something else.
    pub fn open(path: &Path) -> Result<Self, ArenaError> {
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(text.trim()).ok_or_else(|| ArenaError::Content {
                path: path.to_owned(),
                problem: "not a key; expected 64 hexadecimal digits as `camelid arena` writes them"
                    .to_owned(),
            }),
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => {
                let key = Self(random()?);
                key.save(path)?;
                Ok(key)
            }
            Err(cause) => Err(camelid_files::FileError::io(path, "read")(cause).into()),
        }
    }

    /// Writes the key where only its owner can read it.
    ///
    /// # Errors
    /// [`ArenaError::File`].
    pub(super) fn save(&self, path: &Path) -> Result<(), ArenaError> {
        Ok(write_private(path, format!("{}\n", digest::hex(&self.0)).as_bytes())?)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut key = [0; 32];
        if text.len() != 64 || !text.is_ascii() {
            return None;
        }
        for (byte, place) in key.iter_mut().zip((0..64).step_by(2)) {
            *byte = u8::from_str_radix(&text[place..place + 2], 16).ok()?;
        }
        Some(Self(key))
    }

    /// The user behind an address: of IPv6 the first half, for the other belongs to one household.
    pub fn user(&self, address: IpAddr) -> String {
        let named = match address.to_canonical() {
            IpAddr::V4(v4) => v4.to_string(),
            IpAddr::V6(v6) => format!("{:x?}", &v6.segments()[..4]),
        };
        self.named(&named)
    }

    /// The user of an imported log: one of ours as it is, else by the address or name that stands there.
    pub fn imported(&self, text: &str) -> String {
        let ours = text
            .strip_prefix(PREFIX)
            .is_some_and(|hex| hex.len() == 24 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()));
        match text.parse() {
            _ if ours => text.to_owned(),
            Ok(address) => self.user(address),
            Err(_) => self.named(text),
        }
    }

    fn named(&self, name: &str) -> String {
        format!("{PREFIX}{}", digest::hex(&hmac_sha256(&self.0, name.as_bytes())[..12]))
    }
}

/// HMAC (RFC 2104) with SHA-256; keys longer than a block are hashed.
fn hmac_sha256(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut block = [0u8; BLOCK];
    if key.len() > BLOCK {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let inner = Sha256::new().chain_update(block.map(|byte| byte ^ 0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(block.map(|byte| byte ^ 0x5c)).chain_update(inner).finalize().into()
}

/// Random bytes of the operating system.
pub fn random<const N: usize>() -> Result<[u8; N], ArenaError> {
    let mut bytes = [0; N];
    SysRng.try_fill_bytes(&mut bytes).map_err(|error| ArenaError::Random(error.to_string()))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hmac_is_that_of_rfc_4231() {
        let of = |key: &[u8], message: &[u8]| digest::hex(&hmac_sha256(key, message));
        assert_eq!(
            of(&[0x0b; 20], b"Hi There"),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
        );
        assert_eq!(
            of(b"Jefe", b"what do ya want for nothing?"),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        assert_eq!(
            of(&[0xaa; 131], b"Test Using Larger Than Block-Size Key - Hash Key First"),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
        );
    }

    #[test]
    fn a_key_is_made_once_and_kept_from_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("arena.key");
        let address = "203.0.113.7".parse().unwrap();
        let user = UserKey::open(&path).unwrap().user(address);
        assert_eq!(UserKey::open(&path).unwrap().user(address), user);
        assert!(user.starts_with("user-") && !user.contains("203"));
        let other = UserKey::open(&folder.path().join("other.key")).unwrap();
        assert_ne!(other.user(address), user);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        std::fs::write(&path, "short").unwrap();
        assert!(UserKey::open(&path).unwrap_err().to_string().contains("64 hexadecimal digits"));
    }

    #[test]
    fn one_household_is_one_user_and_our_own_users_stay_as_they_are() {
        let key = UserKey([7; 32]);
        let user = |address: &str| key.user(address.parse().unwrap());
        assert_eq!(user("2001:db8:1:2::1"), user("2001:db8:1:2:ffff::9"));
        assert_ne!(user("2001:db8:1:2::1"), user("2001:db8:1:3::1"));
        assert_eq!(user("::ffff:203.0.113.7"), user("203.0.113.7"));
        let known = user("203.0.113.7");
        assert_eq!(key.imported(&known), known);
        assert_eq!(key.imported("203.0.113.7"), known);
        assert_ne!(key.imported("arena_user_7"), "arena_user_7");
    }
}
