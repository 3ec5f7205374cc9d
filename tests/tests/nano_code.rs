//! The nano world for code against Python itself.

use camelid_data::nano::code::{CodeConfig, Style};
use camelid_sandbox::programs::python;
use camelid_sandbox::{Isolation, Limits, Sandbox};

/// As many tasks to a program as keep the number of processes small.
const TOGETHER: usize = 50;

#[test]
fn every_solution_passes_its_tests_in_both_styles_and_another_tasks_does_not() {
    let Ok(sandbox) = Sandbox::new(Limits::default(), Isolation::Required) else {
        println!("skipped: no isolation here");
        return;
    };
    let (mut right, mut wrong) = (Vec::new(), Vec::new());
    for steps in 1..=5 {
        let tasks = CodeConfig { steps, ..CodeConfig::default() }.tasks(40, steps % 2 == 0).unwrap();
        assert!(tasks.len() == 40 || steps == 1);
        for style in [Style::Expressions, Style::Loops] {
            right.extend(tasks.iter().map(|task| task.program(&task.solution(style))));
        }
        let (a, b) = (&tasks[0], tasks.iter().find(|task| task.steps != tasks[0].steps).unwrap());
        wrong.push(a.program(&b.solution(Style::Loops)));
    }
    for programs in right.chunks(TOGETHER) {
        let outcome = sandbox.run(&python(programs.join("\n"))).unwrap();
        assert!(outcome.passed(), "{outcome:?}");
    }
    for program in wrong {
        assert!(!sandbox.run(&python(program.clone())).unwrap().passed(), "{program}");
    }
}
