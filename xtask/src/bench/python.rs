//! The interpreter that has the peers, set up where there is none.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;

use anyhow::{Context, Result, bail};
use camelid_benches::rows;

use super::child::{Measurer, Shared};

/// Names an interpreter that has the peers.
const VARIABLE: &str = "CAMELID_PEERS_PYTHON";
const OLDEST: (u32, u32) = (3, 10);

/// A Python that has the peers, and where our scripts are.
pub struct Interpreter {
    program: PathBuf,
    scripts: PathBuf,
    files: PathBuf,
}

/// The one that was named, or a virtual environment under `runs/peers`, made when it is missing.
pub fn interpreter(workspace: &Path, named: Option<&Path>) -> Result<Interpreter> {
    let (scripts, files) = (workspace.join("benches/peers"), workspace.join("runs/peers"));
    std::fs::create_dir_all(&files).with_context(|| format!("creating {}", files.display()))?;
    let named = named.map(Path::to_owned).or_else(|| std::env::var_os(VARIABLE).map(PathBuf::from));
    let program = match named {
        Some(program) => {
            check(&program).with_context(|| format!("--python or {VARIABLE}: {}", program.display()))?;
            program
        }
        None => environment(&files, &scripts.join("requirements.txt"))?,
    };
    Ok(Interpreter { program, scripts, files })
}

/// The virtual environment with the pinned versions.
fn environment(files: &Path, requirements: &Path) -> Result<PathBuf> {
    let venv = files.join("venv");
    let python = venv.join("bin/python");
    let wanted = std::fs::read_to_string(requirements)
        .with_context(|| format!("reading {}", requirements.display()))?;
    // Written last: an installation that was cut short is done again.
    let installed = venv.join("installed.txt");
    if std::fs::read_to_string(&installed).is_ok_and(|found| found == wanted) {
        return Ok(python);
    }
    let system = ["python3", "python"].map(PathBuf::from).into_iter().find(|program| check(program).is_ok());
    let Some(system) = system else {
        bail!(
            "the peers need Python {}.{} or newer, and neither python3 nor python is one: install it, \
             or name an interpreter that has them with --python or {VARIABLE}",
            OLDEST.0,
            OLDEST.1
        );
    };
    camelid_files::say!("installing the peers into {} (6 GB)", venv.display());
    if !python.exists() {
        let made = Command::new(&system).args(["-m", "venv"]).arg(&venv).status();
        if !made.is_ok_and(|status| status.success()) {
            bail!(
                "`{} -m venv` failed: install Python's venv and pip (on Debian: python3-venv), or name an \
                 interpreter that has the peers with --python or {VARIABLE}",
                system.display()
            );
        }
    }
    let pip = Command::new(&python)
        .args(["-m", "pip", "install", "--no-cache-dir", "--quiet", "-r"])
        .arg(requirements)
        .status()
        .with_context(|| format!("starting {}", python.display()))?;
    if !pip.success() {
        bail!(
            "pip could not install {}: without a network, name an interpreter that has the peers with \
             --python or {VARIABLE}",
            requirements.display()
        );
    }
    std::fs::write(&installed, wanted).with_context(|| format!("writing {}", installed.display()))?;
    Ok(python)
}

/// Whether the program is a Python that is new enough.
fn check(program: &Path) -> Result<()> {
    let asked = Command::new(program)
        .args(["-c", "import sys; print(*sys.version_info[:2])"])
        .output()
        .context("it cannot be started")?;
    let version = String::from_utf8_lossy(&asked.stdout);
    let mut numbers = version.split_whitespace().filter_map(|number| number.parse().ok());
    match (numbers.next(), numbers.next()) {
        (Some(major), Some(minor)) if (major, minor) >= OLDEST => Ok(()),
        (Some(major), Some(minor)) => {
            bail!("it is Python {major}.{minor}: expected {}.{} or newer", OLDEST.0, OLDEST.1)
        }
        _ => bail!("it is no Python"),
    }
}

impl Interpreter {
    /// The peers' side, nothing of it running yet.
    pub fn peers(self) -> Peers {
        Peers { interpreter: self, running: None }
    }

    fn start(&self, modules: &str) -> Result<Shared> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from).to_string();
        let mut command = Command::new(&self.program);
        command
            .arg(self.scripts.join("serve.py"))
            .arg(modules)
            .env("CAMELID_PEERS_DIR", &self.files)
            .env("CAMELID_MATRICES", rows::matrices().to_string());
        // Torch would count threads of one core as one.
        if std::env::var_os("OMP_NUM_THREADS").is_none() {
            command.env("OMP_NUM_THREADS", cores);
        }
        Ok(Rc::new(RefCell::new(Measurer::start(&mut command)?)))
    }
}

/// Processes of the peers. One serves all rows of its modules, but for rows whose memory counts.
pub struct Peers {
    interpreter: Interpreter,
    running: Option<(String, Shared)>,
}

impl Peers {
    /// A process that has done nothing yet.
    pub fn fresh(&self, modules: &str) -> Result<Shared> {
        self.interpreter.start(modules)
    }

    /// The process that serves these modules.
    pub fn shared(&mut self, modules: &str) -> Result<Shared> {
        if let Some((running, measurer)) = &self.running
            && running == modules
            && measurer.borrow_mut().is_running()
        {
            return Ok(measurer.clone());
        }
        self.running = None; // before the next one takes memory
        let measurer = self.interpreter.start(modules)?;
        self.running = Some((modules.to_owned(), measurer.clone()));
        Ok(measurer)
    }

    /// Ends the shared process, which is in the way.
    pub fn end(&mut self) {
        self.running = None;
    }
}
