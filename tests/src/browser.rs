//! A real browser that does what a script says.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Chromium, and a folder with playwright-core.
pub struct Browser {
    chromium: PathBuf,
    playwright: PathBuf,
}

impl Browser {
    /// Finds both: Chromium at its usual place or at `CAMELID_CHROMIUM`, the folder at
    /// `CAMELID_PLAYWRIGHT`. `None`, after a line on standard output, where one is missing.
    ///
    /// # Panics
    /// Where one is missing and `CAMELID_REQUIRE_BROWSER=1` says that it must not be.
    pub fn find() -> Option<Self> {
        let required = std::env::var("CAMELID_REQUIRE_BROWSER").is_ok_and(|value| value == "1");
        let missing = |what: &str| {
            assert!(!required, "CAMELID_REQUIRE_BROWSER=1, but {what}");
            println!("skipped: {what}");
            None
        };
        if !Command::new("node").arg("--version").output().is_ok_and(|output| output.status.success()) {
            return missing("there is no node");
        }
        let known = std::env::var_os("CAMELID_CHROMIUM").map(PathBuf::from);
        let usual =
            ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].map(PathBuf::from);
        let Some(chromium) = known.into_iter().chain(usual).find(|path| path.is_file()) else {
            return missing("there is no Chromium; CAMELID_CHROMIUM names another place");
        };
        let folder = std::env::var_os("CAMELID_PLAYWRIGHT").map(PathBuf::from);
        match folder.filter(|folder| folder.join("node_modules/playwright-core").is_dir()) {
            Some(playwright) => Some(Self { chromium, playwright }),
            None => {
                missing("CAMELID_PLAYWRIGHT names no folder in which `npm install playwright-core` was run")
            }
        }
    }

    /// Runs a script over the server at `http://ADDRESS`. Its screenshots go to the folder
    /// `CAMELID_SCREENSHOTS`, where that is set.
    ///
    /// # Panics
    /// Unless it says at its end that it played to the end.
    pub fn play(&self, script: &Path, address: &str) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let screenshots =
            std::env::var_os("CAMELID_SCREENSHOTS").map_or(folder.path().to_owned(), PathBuf::from);
        let output = Command::new("node")
            .arg(script)
            .arg(format!("http://{address}"))
            .args([&self.chromium, &screenshots])
            .env("CAMELID_PLAYWRIGHT", &self.playwright)
            .output()
            .expect("node runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && output.stdout.ends_with(b"played\n"), "{said}");
    }
}
