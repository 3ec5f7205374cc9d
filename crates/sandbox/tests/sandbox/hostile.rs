//! Programs that would take the machine down, get away or leave something behind. Each is
//! survived, ends as the right outcome, and leaves no process.

use camelid_sandbox::{Limits, Outcome};

use crate::{alive, both, isolated, named, open, python3, run, said, small};

#[test]
fn an_endless_loop_ends_at_its_limit_of_computing() {
    for sandbox in both(Limits { cpu_seconds: 1, ..small() }) {
        assert_eq!(run(&sandbox, &named("sh", "while :; do :; done")), Outcome::TimedOut);
        if python3() {
            assert_eq!(run(&sandbox, &named("python3", "while True: pass")), Outcome::TimedOut);
        }
    }
}

#[test]
fn a_program_that_waits_for_ever_ends_at_its_limit_of_time() {
    for sandbox in both(Limits { wall_seconds: 1.0, ..small() }) {
        // A shell that waits for its child, and one that catches what can be caught.
        assert_eq!(run(&sandbox, &named("sh", "sleep 1000")), Outcome::TimedOut);
        let stubborn = "trap '' TERM INT HUP XCPU\nwhile :; do sleep 1000; done";
        assert_eq!(run(&sandbox, &named("sh", stubborn)), Outcome::TimedOut);
    }
}

#[test]
fn a_fork_bomb_is_contained_and_ended() {
    for sandbox in both(Limits { wall_seconds: 2.0, ..small() }) {
        let bomb = named("sh", "b() { b & b & b & }\nwhile :; do b; done 2>/dev/null");
        assert!(!run(&sandbox, &bomb).passed());
        if python3() {
            let bomb = "import os
while True:
    try:
        os.fork()
    except OSError:
        pass";
            let outcome = run(&sandbox, &named("python3", bomb));
            // An ordinary user's processes are not counted exactly without isolation; then the
            // bomb is ended when it is seen.
            let expected =
                if sandbox.grants().isolated { outcome == Outcome::TimedOut } else { !outcome.passed() };
            assert!(expected, "{outcome:?}");
        }
    }
}

#[test]
fn as_many_processes_as_are_allowed_and_no_more() {
    let Some(sandbox) = isolated(small()) else { return };
    if !python3() {
        return;
    }
    let count = "import os, sys, time
children = 0
try:
    while True:
        if os.fork() == 0:
            time.sleep(1000)
        children += 1
except OSError:
    sys.exit(children)";
    let exit = match run(&sandbox, &named("python3", count)) {
        Outcome::Failed { exit, .. } => exit,
        other => panic!("{other:?}"),
    };
    assert_eq!(exit as u64, sandbox.limits().processes - 1);
}

#[test]
fn threads_count_as_processes() {
    let Some(sandbox) = isolated(small()) else { return };
    if !python3() {
        return;
    }
    let threads = "import sys, threading, time, os
threading.stack_size(1 << 16)
count = 0
try:
    while True:
        threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
        count += 1
except RuntimeError:
    os._exit(count)";
    let outcome = run(&sandbox, &named("python3", threads));
    let expected = sandbox.limits().processes as i32 - 1;
    assert!(matches!(outcome, Outcome::Failed { exit, .. } if exit == expected), "{outcome:?}");
}

#[test]
fn a_huge_allocation_fails() {
    for sandbox in both(small()) {
        let doubling = named("sh", "x=0123456789abcdef\nwhile :; do x=$x$x; done");
        assert!(!run(&sandbox, &doubling).passed());
        if python3() {
            let outcome = run(&sandbox, &named("python3", "x = bytearray(1 << 40)"));
            assert!(matches!(outcome, Outcome::OutOfMemory { .. }), "{outcome:?}");
            let outcome = run(&sandbox, &named("python3", "x = []\nwhile True: x.append(bytes(10**6))"));
            assert!(matches!(outcome, Outcome::OutOfMemory { .. }), "{outcome:?}");
        }
    }
}

#[test]
fn processes_that_are_each_within_the_limit_of_memory_are_not_together() {
    if !python3() {
        return;
    }
    let together = "import os, time
for _ in range(8):
    if os.fork() == 0:
        break
held = bytearray(b'x') * (100 << 20)
time.sleep(1000)";
    for sandbox in both(small()) {
        let outcome = run(&sandbox, &named("python3", together));
        assert!(matches!(outcome, Outcome::OutOfMemory { .. }), "{outcome:?}");
    }
}

#[test]
fn a_flood_of_output_is_cut() {
    for sandbox in both(small()) {
        assert_eq!(run(&sandbox, &named("sh", "yes")), Outcome::TooMuchOutput);
        assert_eq!(run(&sandbox, &named("sh", "yes >&2")), Outcome::TooMuchOutput);
        // It ends by itself before anybody looks, and says that all went well.
        let quick = named("sh", "head -c 2000000 /dev/zero");
        assert_eq!(run(&sandbox, &quick), Outcome::TooMuchOutput);
        assert!(run(&sandbox, &named("sh", "head -c 1000000 /dev/zero")).passed());
    }
}

#[test]
fn closed_streams_are_no_reason_to_wait() {
    for sandbox in both(small()) {
        assert!(run(&sandbox, &named("sh", "exec 0<&- 1>&- 2>&-\nexit 0")).passed());
        let outcome = run(&sandbox, &named("sh", "exec 0<&- 1>&- 2>&-\nexit 3"));
        assert_eq!(outcome, Outcome::Failed { exit: 3, stderr: String::new() });
    }
}

#[test]
fn a_child_that_holds_the_output_open_is_not_waited_for() {
    for sandbox in both(small()) {
        assert!(run(&sandbox, &named("sh", "(while :; do sleep 1; done) &\nexit 0")).passed());
    }
}

#[test]
fn daemons_die_with_their_program() {
    for sandbox in both(small()) {
        let detached = "setsid sh -c \"$(printf '(while :; do sleep 1; done; : %s) &' \"$0\")\" \
                        </dev/null >/dev/null 2>&1\nexit 0";
        assert!(run(&sandbox, &named("sh", detached)).passed());
        if python3() {
            let daemon = "import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.closerange(0, 32)
        os.chdir('/')
        time.sleep(1000)
    os._exit(0)
os.wait()";
            assert!(run(&sandbox, &named("python3", daemon)).passed());
        }
    }
}

#[test]
fn the_processes_that_are_gone_afterwards_are_seen_before() {
    let program = named("sh", "sleep 1\n(sleep 1000; :) &\nsleep 2");
    for sandbox in both(small()) {
        let seen = std::thread::scope(|scope| {
            let running = scope.spawn(|| run(&sandbox, &program));
            let mut seen = 0;
            while !running.is_finished() {
                seen = seen.max(alive(&program.file_name).len());
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
            assert!(running.join().unwrap().passed());
            seen
        });
        assert!(seen > 0);
    }
}

#[test]
fn a_program_that_deletes_its_directory_is_survived() {
    for sandbox in both(small()) {
        let deletes = "rm -rf \"$HOME\" \"$HOME\"/* 2>/dev/null\n[ ! -e program* ] && exit 5";
        let outcome = run(&sandbox, &named("sh", deletes));
        assert!(matches!(outcome, Outcome::Failed { exit: 5, .. }), "{outcome:?}");
        if python3() {
            let deletes = "import os, shutil
shutil.rmtree(os.environ['HOME'], ignore_errors=True)
shutil.rmtree('/usr/bin', ignore_errors=True)";
            // Only where it can not delete what is not its own.
            if sandbox.grants().complete() {
                assert!(run(&sandbox, &named("python3", deletes)).passed());
            }
        }
        assert!(run(&sandbox, &named("sh", "exit 0")).passed());
    }
}

#[test]
fn a_directory_that_is_closed_linked_out_of_and_very_deep_is_removed() {
    let outside = tempfile::tempdir().unwrap();
    let kept = outside.path().join("kept");
    std::fs::write(&kept, "kept").unwrap();
    let source = format!(
        "mkdir -p a/b/c && : > a/b/c/file && ln -s / root && ln -s {0} out && ln -s {0} a/b/out
i=0
cd a
while [ $i -lt 40 ]; do mkdir d && cd d; i=$((i + 1)); done
cd \"$HOME\"
chmod 000 a/b/c a/b a
chmod 000 .
echo \"$HOME\" >&2
exit 1",
        outside.path().display()
    );
    for sandbox in both(small()) {
        let home = said(run(&sandbox, &named("sh", &source)));
        let home = std::path::Path::new(home.trim());
        assert!(home.is_absolute(), "{}", home.display());
        // An isolated program's home has a place in its own view alone.
        if !sandbox.grants().isolated {
            assert!(!home.exists(), "{} is left", home.display());
        }
        assert_eq!(std::fs::read_to_string(&kept).unwrap(), "kept");
    }
}

#[test]
fn a_million_files_are_not_made() {
    let many = "i=0\nwhile [ $i -lt 1000000 ]; do : > file$i || break; i=$((i + 1)); done\n\
                echo $i >&2\nexit 1";
    if let Some(sandbox) = isolated(small()) {
        // A shell that can not make a file may end at once, or go on and say how many.
        let text = said(run(&sandbox, &named("sh", many)));
        assert!(text.contains("No space left") || text.contains("file100"), "{text}");
        assert!(run(&sandbox, &named("sh", "for i in $(seq 100); do : > f$i; done")).passed());
    }
    // Without isolation their number is not limited; they are removed all the same.
    let few = "for i in $(seq 5000); do : > file$i; done\necho \"$HOME\" >&2\nexit 1";
    let home = said(run(&open(small()), &named("sh", few)));
    assert!(!std::path::Path::new(home.trim()).exists(), "{home}");
}

#[test]
fn files_are_bounded_in_size() {
    for sandbox in both(small()) {
        let large = named("sh", "head -c 100000000 /dev/zero > file");
        assert!(!run(&sandbox, &large).passed());
    }
    if let Some(sandbox) = isolated(small()) {
        // Each is within the limit, all together are not.
        let several = "for i in 1 2 3; do head -c 4000000 /dev/zero > f$i || exit 7; done";
        let outcome = run(&sandbox, &named("sh", several));
        assert!(matches!(outcome, Outcome::Failed { exit: 7, .. }), "{outcome:?}");
    }
}

#[test]
fn a_program_that_kills_all_it_can_kills_only_itself() {
    let Some(sandbox) = isolated(small()) else { return };
    let outcome = run(&sandbox, &named("sh", "kill -9 -1 1\nkill -9 $$"));
    assert!(matches!(outcome, Outcome::Killed { signal: 9, .. }), "{outcome:?}");
}

#[test]
fn a_signal_of_its_own_is_told() {
    for sandbox in both(small()) {
        let outcome = run(&sandbox, &named("sh", "kill -SEGV $$"));
        assert!(matches!(outcome, Outcome::Killed { signal: 11, .. }), "{outcome:?}");
    }
}
