//! A disk that is soon full.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

/// A small tmpfs, unmounted when dropped.
pub struct SmallDisk(TempDir);

impl SmallDisk {
    /// Mounts one of this size, as `mount` spells it: `64k`. `None`, after a line on standard
    /// output, where mounting is not allowed.
    ///
    /// # Panics
    /// Where it is not allowed and `CAMELID_REQUIRE_TMPFS=1` says that it must be.
    pub fn mount(size: &str) -> Option<Self> {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let options = format!("size={size}");
        let mount =
            Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(dir.path()).output();
        if mount.is_ok_and(|output| output.status.success()) {
            return Some(Self(dir));
        }
        let required = std::env::var("CAMELID_REQUIRE_TMPFS").is_ok_and(|value| value == "1");
        assert!(!required, "CAMELID_REQUIRE_TMPFS=1, but mounting a small tmpfs is not allowed here");
        println!("skipped: mounting a small tmpfs is not allowed here");
        None
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}
