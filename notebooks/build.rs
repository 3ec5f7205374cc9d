//! Makes a program of each notebook: a function that runs its code cells one after the other.

#[path = "src/cells.rs"]
#[allow(unreachable_pub, reason = "a module of the library")]
mod cells;

use std::path::{Path, PathBuf};
use std::{env, fs};

use serde_json::Value;

fn main() {
    println!("cargo::rerun-if-changed=.");
    let mut programs = String::new();
    let mut names = Vec::new();
    for path in cells::notebooks(Path::new(".")).expect("the package's folder") {
        let name = path.file_stem().and_then(|stem| stem.to_str()).expect("a name").to_owned();
        programs.push_str(&program(&name, &path));
        names.push(name);
    }
    let listed: Vec<String> = names.iter().map(|name| format!("({name:?}, {name})")).collect();
    programs.push_str(&format!(
        "const PROGRAMS: [(&str, Program); {}] = [{}];\n",
        names.len(),
        listed.join(", ")
    ));
    let folder = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    fs::write(folder.join("programs.rs"), programs).expect("a file of the build");
}

/// A notebook as a function. Commands to the kernel, such as `:dep`, are left out.
fn program(name: &str, path: &Path) -> String {
    let text = fs::read_to_string(path).expect("a notebook");
    let document: Value = serde_json::from_str(&text).expect("a notebook is JSON");
    let mut body = String::new();
    for (number, cell) in cells::code_cells(&document).enumerate() {
        let source = cells::source(cell);
        let code: Vec<&str> = source.lines().filter(|line| !line.starts_with(':')).collect();
        body.push_str(&format!("begin_cell({number});\n{}\n;\n", code.join("\n")));
    }
    format!(
        "#[allow(redundant_semicolons)]\nfn {name}() -> Result<(), Box<dyn std::error::Error>> {{\n{body}Ok(())\n}}\n"
    )
}
