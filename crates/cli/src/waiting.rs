//! What commands that take long share: Ctrl-C, as a flag or as the end.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use camelid_files::{remove_unfinished, say};

/// True once Ctrl-C was pressed or the process was asked to end. Asked for once in a run of the program.
pub fn stop_on_ctrl_c() -> Result<&'static AtomicBool> {
    static STOP: AtomicBool = AtomicBool::new(false);
    ctrlc::set_handler(|| STOP.store(true, Ordering::SeqCst)).context("cannot catch Ctrl-C")?;
    Ok(&STOP)
}

/// The same, and a second Ctrl-C ends the process at once: for work that reads from a pipe which may
/// never say anything again.
pub fn stop_on_ctrl_c_twice_to_end() -> Result<&'static AtomicBool> {
    static STOP: AtomicBool = AtomicBool::new(false);
    ctrlc::set_handler(|| {
        if STOP.swap(true, Ordering::SeqCst) {
            end()
        }
    })
    .context("cannot catch Ctrl-C")?;
    Ok(&STOP)
}

/// Ctrl-C ends the process and takes away what it was writing: for commands that cannot go on from the middle.
pub fn end_on_ctrl_c() -> Result<()> {
    ctrlc::set_handler(|| {
        say!("error: interrupted; what was not finished is removed");
        end()
    })
    .context("cannot catch Ctrl-C")
}

fn end() -> ! {
    remove_unfinished();
    std::process::exit(130)
}
