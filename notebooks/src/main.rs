//! Runs the code of a notebook outside of Jupyter: what each cell prints follows the line that
//! [`camelid_notebooks::outputs_of`] knows it by.

use camelid_notebooks::CELL_MARK;

type Program = fn() -> Result<(), Box<dyn std::error::Error>>;

include!(concat!(env!("OUT_DIR"), "/programs.rs"));

fn begin_cell(number: usize) {
    println!("{CELL_MARK}{number}");
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let wanted = std::env::args().nth(1).unwrap_or_default();
    let Some((_, program)) = PROGRAMS.iter().find(|(name, _)| *name == wanted) else {
        let names: Vec<&str> = PROGRAMS.iter().map(|(name, _)| *name).collect();
        return Err(format!("there is no notebook \"{wanted}\"; there are {}", names.join(", ")).into());
    };
    program()
}
