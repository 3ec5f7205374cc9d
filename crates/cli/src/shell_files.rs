//! `camelid completions` and `camelid man`: what a shell and a manual reader want, made from the
//! very description that parses the command line.

use std::path::Path;

use anyhow::{Context, Result};
use camelid_files::program;
use clap::Command;
use clap_complete::Shell;

/// Prints the completions of a shell.
pub fn completions(mut command: Command, shell: Shell) -> Result<()> {
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut script);
    Ok(program::print(script)?)
}

/// Prints the page of the whole command, or writes one for each of its commands into a folder.
pub fn man(command: Command, out: Option<&Path>) -> Result<()> {
    let Some(folder) = out else {
        return Ok(program::print(page(command)?)?);
    };
    std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    clap_mangen::generate_to(command, folder).with_context(|| format!("cannot write in {}", folder.display()))
}

fn page(command: Command) -> Result<Vec<u8>> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page)?;
    Ok(page)
}
