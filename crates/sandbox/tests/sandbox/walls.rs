//! What an isolated program sees and can reach.

use std::fs::File;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

use camelid_sandbox::{Outcome, Program, SandboxError};

use crate::{both, isolated, named, open, python3, run, said, small};

#[test]
fn a_listening_neighbour_can_not_be_reached() {
    if !python3() {
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let connect =
        format!("import socket\nsocket.create_connection(('127.0.0.1', {}), timeout=5)", address.port());
    // Without isolation it is reached: the program itself is sound.
    assert!(run(&open(small()), &named("python3", &connect)).passed());
    let Some(sandbox) = isolated(small()) else { return };
    let text = said(run(&sandbox, &named("python3", &connect)));
    assert!(text.contains("OSError") || text.contains("Error: [Errno"), "{text}");
}

#[test]
fn a_socket_in_the_file_system_can_not_be_reached() {
    if !python3() {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    std::fs::set_permissions(place.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let path = place.path().join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o777)).unwrap();
    let connect = format!("import socket\nsocket.socket(socket.AF_UNIX).connect('{}')", path.display());
    assert!(run(&open(small()), &named("python3", &connect)).passed());
    let Some(sandbox) = isolated(small()) else { return };
    assert!(said(run(&sandbox, &named("python3", &connect))).contains("No such file"));
}

#[test]
fn the_environment_is_emptied() {
    let program = Program {
        environment: vec![("GIVEN".into(), "value".into())],
        ..named("sh", "env | cut -d= -f1 | sort >&2\nexit 1")
    };
    for sandbox in both(small()) {
        let names = said(run(&sandbox, &program));
        // The shell adds `PWD` and some of them `SHLVL`, `OLDPWD` and `_`.
        let own = ["PWD", "SHLVL", "OLDPWD", "_"];
        let names: Vec<&str> = names.lines().filter(|name| !own.contains(name)).collect();
        assert_eq!(names, ["GIVEN", "HOME", "LANG", "PATH", "TMPDIR"]);
    }
}

#[test]
fn it_starts_in_an_empty_home_with_nothing_to_read() {
    let source = "[ \"$(pwd)\" = \"$HOME\" ] || exit 2
[ \"$TMPDIR\" = \"$HOME\" ] || exit 3
[ \"$(ls -A)\" = \"${0##*/}\" ] || exit 4
[ -z \"$(cat)\" ] || exit 5
[ \"$(umask)\" = 0077 ] || exit 6
: > \"$HOME/file\" || exit 7";
    for sandbox in both(small()) {
        assert_eq!(run(&sandbox, &named("sh", source)), Outcome::Passed);
    }
}

#[test]
fn this_machine_is_not_to_be_seen() {
    let Some(sandbox) = isolated(small()) else { return };
    let place = tempfile::tempdir().unwrap();
    std::fs::set_permissions(place.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let source = format!(
        "[ -e {} ] && exit 2
for path in /home /root /proc /sys /run /var /mnt /etc/passwd; do
    [ -e $path ] && {{ echo $path >&2; exit 3; }}
done
exit 0",
        place.path().display()
    );
    assert_eq!(run(&sandbox, &named("sh", &source)), Outcome::Passed);
}

#[test]
fn nothing_but_its_directory_can_be_written_to() {
    let Some(sandbox) = isolated(small()) else { return };
    let source = "for directory in / /usr /usr/bin /usr/local /etc /dev /lib; do
    : > $directory/file-of-a-test && { echo $directory >&2; exit 2; }
done 2>/dev/null
: > /tmp/file || exit 3
[ -e \"$HOME/file\" ] || exit 4
exit 0";
    // Some shells end at a redirection that fails, so each is tried in a shell of its own.
    let source = source.replace(": > $directory/file-of-a-test", "sh -c \": > $directory/file-of-a-test\"");
    assert_eq!(run(&sandbox, &named("sh", &source)), Outcome::Passed);
}

#[test]
fn privileges_can_not_be_had() {
    let Some(sandbox) = isolated(small()) else { return };
    let source = "mount -t tmpfs none \"$HOME\" && exit 2
unshare --user true && exit 3
unshare --mount true && exit 4
chroot / true && exit 5
hostname other && exit 6
setpriv --reuid 1 true && exit 7
prlimit --nproc=100000 true && exit 8
prlimit --cpu=unlimited true && exit 9
exit 0";
    assert_eq!(run(&sandbox, &named("sh", source)), Outcome::Passed);
}

#[test]
fn the_shell_that_tells_the_status_is_out_of_reach() {
    if !python3() {
        return;
    }
    let Some(sandbox) = isolated(small()) else { return };
    // PTRACE_ATTACH (16) of process 1, which does what this program may not.
    let attach = "import ctypes
libc = ctypes.CDLL(None, use_errno=True)
assert libc.ptrace(16, 1, 0, 0) == -1
assert ctypes.get_errno() == 1, ctypes.get_errno()";
    assert_eq!(run(&sandbox, &named("python3", attach)), Outcome::Passed);
}

#[test]
fn files_that_the_caller_passes_on_are_closed() {
    if !python3() {
        return;
    }
    // Files are passed on when nobody asked for the contrary; what Rust opens never is.
    let passed_on: Vec<File> = (0..20)
        .map(|_| {
            let file = File::open("/").unwrap();
            rustix::io::fcntl_setfd(&file, rustix::io::FdFlags::empty()).unwrap();
            file
        })
        .collect();
    let source = "import os
for number in range(3, 1024):
    try:
        os.fstat(number)
    except OSError:
        continue
    raise AssertionError(number)";
    // The interpreter holds its program's file open while it runs it; hence by a driver.
    let program = Program {
        argv: ["python3", "-c", "import sys; text = open(sys.argv[1]).read(); exec(text)"]
            .map(String::from)
            .to_vec(),
        ..named("python3", source)
    };
    for sandbox in both(small()) {
        assert_eq!(run(&sandbox, &program), Outcome::Passed);
    }
    drop(passed_on);
}

#[test]
fn an_interpreter_from_elsewhere_has_to_be_made_readable() {
    let Some(sandbox) = isolated(small()) else { return };
    let place = tempfile::tempdir().unwrap();
    std::fs::set_permissions(place.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let home = place.path().canonicalize().unwrap();
    let interpreter = home.join("interpreter");
    std::fs::write(&interpreter, "#!/bin/sh\nexec sh \"$1\"\n").unwrap();
    std::fs::set_permissions(&interpreter, PermissionsExt::from_mode(0o755)).unwrap();
    let program = named(interpreter.to_str().unwrap(), "exit 0");
    let error = sandbox.run(&program).unwrap_err();
    assert!(matches!(&error, SandboxError::Interpreter { .. }), "{error}");
    let sandbox = sandbox.readable(place.path()).unwrap();
    assert_eq!(run(&sandbox, &program), Outcome::Passed);
    // And it is there to be read only.
    let write = named("sh", &format!(": > {}/file", home.display()));
    assert!(!run(&sandbox, &write).passed());
    assert!(!home.join("file").exists());
}
