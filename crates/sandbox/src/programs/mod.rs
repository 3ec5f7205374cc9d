//! Programs that decide whether generated code is right.

pub mod cut;
pub mod human_eval;
pub mod mbpp;
pub mod plus;
pub mod reply;
pub mod together;

use crate::Program;

/// How a Python program that ran to its end says so. A program that leaves early with
/// `sys.exit()` ends with status 0, before its tests: that is no pass.
const RAN_TO_ITS_END: i32 = 97;

/// Runs the file in empty globals, as the HumanEval harness does (so `__name__` is not
/// `__main__`, and what stands below that condition does not run). `os._exit` because threads
/// that the code left running must not hold up the answer.
const DRIVER: &str = "import os, sys
with open(sys.argv[1], encoding='utf-8') as file:
    text = file.read()
leave = os._exit
exec(text, {})
leave(97)
";

/// A Python program that passes when it runs to its end without an exception.
///
/// The hash seed is fixed, so that the order of sets is the same in every run.
pub fn python(source: String) -> Program {
    Program {
        argv: ["python3", "-s", "-B", "-c", DRIVER].map(String::from).to_vec(),
        file_name: "program.py".into(),
        source,
        environment: vec![("PYTHONHASHSEED".into(), "0".into())],
        success: RAN_TO_ITS_END,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_driver_leaves_with_the_status_that_means_success() {
        assert!(DRIVER.contains(&format!("leave({RAN_TO_ITS_END})")));
        assert_eq!(python(String::new()).success, RAN_TO_ITS_END);
    }
}
