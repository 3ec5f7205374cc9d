//! HumanEval's and MBPP's programs decide rightly.

use std::io::Read;

use camelid_sandbox::pass_at_k::{Drawn, mean_pass_at_k};
use camelid_sandbox::programs::{human_eval, mbpp, python, together};
use camelid_sandbox::{Limits, Outcome, Program};

use crate::{both, isolated, python3, said, small};

/// The 164 problems, where they are at hand.
fn problems() -> Option<Vec<human_eval::Problem>> {
    let path = camelid_tests::oracles()?.join("human-eval/HumanEval.jsonl.gz");
    let mut text = String::new();
    let file = std::fs::File::open(path).unwrap();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap();
    Some(text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

#[test]
fn every_canonical_solution_passes_and_no_empty_body() {
    let Some(problems) = problems() else { return };
    if !python3() {
        return;
    }
    let Some(sandbox) = isolated(Limits::default()) else { return };
    assert_eq!(problems.len(), 164);
    let right = problems.iter().map(|p| human_eval::program(p, &p.canonical_solution));
    let wrong = problems.iter().map(|p| human_eval::program(p, "    pass\n"));
    let programs: Vec<Program> = right.chain(wrong).collect();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let outcomes = sandbox.run_all(&programs, threads, |_| ());
    let passed: Vec<bool> = outcomes.into_iter().map(|outcome| outcome.unwrap().passed()).collect();
    let (right, wrong) = passed.split_at(problems.len());
    let mistakes: Vec<&str> = problems
        .iter()
        .zip(right.iter().zip(wrong))
        .filter(|(_, (right, wrong))| !**right || **wrong)
        .map(|(problem, _)| problem.task_id.as_str())
        .collect();
    assert_eq!(mistakes, Vec::<&str>::new());

    let drawn: Vec<Drawn> =
        right.iter().zip(wrong).map(|(&r, &w)| Drawn { n: 2, c: u64::from(r) + u64::from(w) }).collect();
    let found = mean_pass_at_k(&drawn, 1).unwrap();
    assert_eq!((found.mean, found.problems), (0.5, 164));
    assert_eq!(mean_pass_at_k(&drawn, 2).unwrap().mean, 1.0);
}

#[test]
fn a_completion_is_cut_before_it_runs() {
    let Some(problems) = problems() else { return };
    if !python3() {
        return;
    }
    let Some(sandbox) = isolated(Limits::default()) else { return };
    let problem = &problems[0];
    let rambling = format!("{}\nprint(1 / 0)\n", problem.canonical_solution);
    assert!(!sandbox.run(&human_eval::program(problem, &rambling)).unwrap().passed());
    assert!(sandbox.run(&human_eval::program(problem, human_eval::cut(&rambling))).unwrap().passed());
}

#[test]
fn leaving_before_the_tests_is_no_pass() {
    if !python3() {
        return;
    }
    for sandbox in both(small()) {
        for early in ["import sys; sys.exit(0)", "import os; os._exit(0)", "exit()", "raise SystemExit"] {
            let outcome = sandbox.run(&python(format!("{early}\nassert False\n"))).unwrap();
            assert!(matches!(outcome, Outcome::Failed { exit: 0, .. }), "{early}: {outcome:?}");
        }
        assert!(sandbox.run(&python("x = {'é': 1}".into())).unwrap().passed());
        assert!(said(sandbox.run(&python("assert 1 == 2".into())).unwrap()).contains("AssertionError"));
        assert!(said(sandbox.run(&python("def f(:".into())).unwrap()).contains("SyntaxError"));
        // As in the HumanEval harness, what is only for a main program does not run, nor does a
        // thread that goes on hold up the answer.
        let main = "if __name__ == '__main__':\n    raise ValueError";
        assert!(sandbox.run(&python(main.into())).unwrap().passed());
        let thread = "import threading, time\nthreading.Thread(target=time.sleep, args=(1000,)).start()";
        assert!(sandbox.run(&python(thread.into())).unwrap().passed());
        // The order of a set is the same in every run.
        let order = "raise ValueError(list({'alpha', 'beta', 'gamma', 'delta', 'epsilon'}))";
        let first = said(sandbox.run(&python(order.into())).unwrap());
        assert_eq!(first, said(sandbox.run(&python(order.into())).unwrap()));
    }
}

#[test]
fn mbpp_assertions_decide() {
    if !python3() {
        return;
    }
    let problem = mbpp::Problem {
        task_id: 1,
        text: "Write a node, and a function that sums what is below it.".into(),
        code: "class Node:
    def __init__(self, value, below=()):
        self.value, self.below = value, below
def total(node):
    return node.value + sum(map(total, node.below))"
            .into(),
        test_setup_code: "tree = Node(1, [Node(2), Node(3)])".into(),
        test_imports: vec!["import math".into()],
        test: None,
        test_list: vec!["assert total(tree) == 6".into(), "assert math.isclose(total(Node(1)), 1)".into()],
    };
    for sandbox in both(small()) {
        assert!(sandbox.run(&mbpp::program(&problem, &problem.code)).unwrap().passed());
        let wrong = problem.code.replace("node.value +", "1 +");
        assert!(said(sandbox.run(&mbpp::program(&problem, &wrong)).unwrap()).contains("AssertionError"));
    }
}

#[test]
fn programs_of_one_process_are_decided_as_if_each_ran_alone() {
    if !python3() {
        return;
    }
    let mut sources: Vec<(String, bool)> = (0..50)
        .map(|at| (format!("def f(x):\n    return x + 1\nassert f({at}) == {}", at + at % 2), at % 2 == 1))
        .collect();
    for (source, passes) in [
        ("import sys\nsys.exit(0)", false),
        ("while True:\n    pass", false),
        ("print('verdicts:1111'); x = 1", true),
        ("def f(:", false),
        // The names of an earlier program are not there.
        ("f(1)", false),
        ("import sys\nprint(1, file=sys.stderr)", true),
    ] {
        sources.push((source.to_owned(), passes));
    }
    let decided = |sandbox: &camelid_sandbox::Sandbox, sources: &[(String, bool)]| {
        let (texts, wanted): (Vec<String>, Vec<bool>) = sources.iter().cloned().unzip();
        assert_eq!(together::passed(sandbox, &texts).unwrap(), wanted);
    };
    for sandbox in both(small()) {
        decided(&sandbox, &sources);
        // One leaves the process: those beside it are decided all the same.
        let leaves = ("import os\nos._exit(0)".to_owned(), false);
        decided(&sandbox, &[sources[1].clone(), leaves, sources[2].clone()]);
        decided(&sandbox, &[]);
    }
}
