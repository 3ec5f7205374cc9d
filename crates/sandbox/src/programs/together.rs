//! Many small programs in few processes. Starting Python takes a hundred times as long as a program of a few lines,
//! and a study of small models decides tens of thousands of them.
//!
//! Programs of one process can reach each other through the interpreter, and one that is made to could forge the
//! verdicts of others. That is for programs that a model wrote which knows of no such thing; what is to be trusted
//! less runs alone, by [`python`].

use super::python;
use crate::{Outcome, Program, Sandbox, SandboxError};

/// Programs of a process: their verdicts fit into what is kept of standard error.
const TOGETHER: usize = 2000;
/// The exit status with which a process tells its verdicts.
const TOLD: i32 = 96;
/// What verdicts begin with.
const MARK: &str = "verdicts:";

/// Runs each program of a file of JSON in globals of its own, for a second at most each, and tells which ended well.
const DRIVER: &str = "import io, json, os, signal, sys
class TooLong(BaseException): pass
def late(*_): raise TooLong
with open(sys.argv[1], encoding='utf-8') as file:
    programs = json.load(file)
leave, write, alarm, out, err = os._exit, os.write, signal.setitimer, sys.stdout, sys.stderr
signal.signal(signal.SIGALRM, late)
verdicts = []
for text in programs:
    sys.stdout = sys.stderr = io.StringIO()
    passed = '0'
    try:
        alarm(signal.ITIMER_REAL, 1.0)
        try:
            exec(text, {})
            passed = '1'
        finally:
            alarm(signal.ITIMER_REAL, 0)
    except BaseException:
        passed = '0'
    verdicts.append(passed)
write(2, ('\\nverdicts:' + ''.join(verdicts)).encode())
leave(96)
";

/// Whether each Python program runs to its end without an exception, in their order. Those of a process that ends
/// before it could tell (one program left it, or took all of its memory) are run again, each alone.
///
/// A program has a second, and standard output and error of its own that nobody reads.
///
/// # Errors
/// As [`Sandbox::run`].
pub fn passed(sandbox: &Sandbox, sources: &[String]) -> Result<Vec<bool>, SandboxError> {
    let mut passed = Vec::with_capacity(sources.len());
    for sources in sources.chunks(TOGETHER) {
        match told(&sandbox.run(&program(sources))?, sources.len()) {
            Some(verdicts) => passed.extend(verdicts),
            None => {
                for source in sources {
                    passed.push(sandbox.run(&python(source.clone()))?.passed());
                }
            }
        }
    }
    Ok(passed)
}

fn program(sources: &[String]) -> Program {
    let source = serde_json::Value::from(sources).to_string();
    Program {
        argv: ["python3", "-s", "-B", "-c", DRIVER].map(String::from).to_vec(),
        file_name: "programs.json".into(),
        ..python(source)
    }
}

/// The verdicts that a process told, where it told as many as were asked for.
fn told(outcome: &Outcome, count: usize) -> Option<Vec<bool>> {
    let Outcome::Failed { exit: TOLD, stderr } = outcome else { return None };
    let verdicts = stderr.rsplit_once(MARK)?.1.trim_end();
    (verdicts.len() == count).then(|| verdicts.chars().map(|verdict| verdict == '1').collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_driver_tells_by_the_status_and_mark_that_are_read() {
        assert!(DRIVER.contains(&format!("leave({TOLD})")) && DRIVER.contains(MARK));
        let failed = |stderr: &str| Outcome::Failed { exit: TOLD, stderr: stderr.to_owned() };
        assert_eq!(told(&failed("noise\nverdicts:101\n"), 3), Some(vec![true, false, true]));
        assert_eq!(told(&failed("verdicts:10"), 3), None);
        assert_eq!(told(&failed(""), 1), None);
        assert_eq!(told(&Outcome::TimedOut, 1), None);
    }
}
