//! Removing a directory, whatever a program made of it.

use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Removes `top` and everything below it; links are removed, not followed. Directories that may
/// not be read are opened first. Trees deeper than any path may be long come down level by
/// level: each directory's directories are moved up to `top`, so nothing recurs and no path
/// grows. A `top` that is gone is removed.
pub(super) fn tree(top: &Path) -> io::Result<()> {
    if !top.symlink_metadata().is_ok_and(|found| found.is_dir()) {
        return match fs::remove_file(top) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            result => result,
        };
    }
    let mut moved = 0;
    loop {
        open(top)?;
        let mut empty = true;
        for entry in fs::read_dir(top)? {
            let entry = entry?;
            empty = false;
            if entry.file_type()?.is_dir() {
                flatten(&entry.path(), top, &mut moved)?;
            } else {
                fs::remove_file(entry.path())?;
            }
        }
        if empty {
            return fs::remove_dir(top);
        }
    }
}

/// Removes `directory`, moving its directories up to `top`.
fn flatten(directory: &Path, top: &Path, moved: &mut u64) -> io::Result<()> {
    open(directory)?;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            open(&entry.path())?;
            move_up(&entry.path(), top, moved)?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    fs::remove_dir(directory)
}

/// Renames `directory` to a name in `top` that is not taken.
fn move_up(directory: &Path, top: &Path, moved: &mut u64) -> io::Result<()> {
    loop {
        let name = top.join(format!("{moved}.moved"));
        *moved += 1;
        if name.symlink_metadata().is_err() {
            return fs::rename(directory, name);
        }
    }
}

fn open(directory: &Path) -> io::Result<()> {
    fs::set_permissions(directory, Permissions::from_mode(0o700))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_removed_and_not_followed() {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("kept"), "kept").unwrap();
        let place = tempfile::tempdir().unwrap();
        let top = place.path().join("top");
        fs::create_dir_all(top.join("a/b")).unwrap();
        std::os::unix::fs::symlink(outside.path(), top.join("link")).unwrap();
        std::os::unix::fs::symlink(outside.path(), top.join("a/b/link")).unwrap();
        std::os::unix::fs::symlink("/no/such/place", top.join("a/dangling")).unwrap();
        tree(&top).unwrap();
        assert!(!top.exists());
        assert_eq!(fs::read_to_string(outside.path().join("kept")).unwrap(), "kept");
        tree(&top).unwrap();
    }

    #[test]
    fn directories_that_may_not_be_read_and_taken_names_are_no_hindrance() {
        let place = tempfile::tempdir().unwrap();
        let top = place.path().join("top");
        fs::create_dir_all(top.join("0.moved/x/y/z")).unwrap();
        fs::create_dir_all(top.join("a/1.moved/b")).unwrap();
        fs::write(top.join("1.moved"), "a file").unwrap();
        for closed in ["0.moved/x/y", "0.moved/x", "a", ""] {
            fs::set_permissions(top.join(closed), Permissions::from_mode(0o000)).unwrap();
        }
        tree(&top).unwrap();
        assert!(!top.exists());
    }

    #[test]
    fn deeper_than_a_path_may_be_long() {
        let place = tempfile::tempdir().unwrap();
        let top = place.path().join("top");
        // Built from the bottom: each step puts what there is into a new directory.
        fs::create_dir(&top).unwrap();
        fs::write(top.join("bottom"), "").unwrap();
        for _ in 0..3000 {
            let outer = place.path().join("outer");
            fs::create_dir(&outer).unwrap();
            fs::rename(&top, outer.join("deep")).unwrap();
            fs::rename(&outer, &top).unwrap();
        }
        tree(&top).unwrap();
        assert!(!top.exists());
    }
}
