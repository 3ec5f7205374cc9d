//! Clients in other languages, and FastChat itself, where they are to be had.
//!
//! `CAMELID_CLIENTS_PYTHON` names an interpreter with `openai`, `CAMELID_FASTCHAT_PYTHON` one with `fschat` 0.2.36
//! and `pydantic` 1 (with a newer one FastChat's streams break), `CAMELID_CLIENTS_NODE` a folder in which npm
//! installed `openai`; `CAMELID_REQUIRE_CLIENTS=1` makes their absence a failure.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use camelid_serve::{ControllerLink, Log, Settings};

use crate::running::{CONTEXT, Running, small_model};

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(name)
}

/// An interpreter that has a module, or a word on the skipped test.
fn python_with(module: &str, variable: &str) -> Option<String> {
    let named = std::env::var(variable).ok();
    let found = named.into_iter().chain(["python3".to_owned()]).find(|python| {
        let import = format!("import {module}");
        let mut command = Command::new(python);
        // FastChat opens its logs where it is imported.
        command
            .current_dir(std::env::temp_dir())
            .args(["-c", &import])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let tried = command.status();
        tried.is_ok_and(|status| status.success())
    });
    if found.is_none() {
        skipped(&format!("no Python with {module} (set {variable})"));
    }
    found
}

fn skipped(why: &str) {
    assert!(std::env::var_os("CAMELID_REQUIRE_CLIENTS").is_none(), "{why}");
    eprintln!("skipped: {why}");
}

fn succeed(command: &mut Command) {
    let output = command.output().unwrap();
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}\n{}", said(&output.stdout), said(&output.stderr));
}

#[test]
fn the_official_python_client_is_content() {
    let Some(python) = python_with("openai", "CAMELID_CLIENTS_PYTHON") else { return };
    let server = Running::start();
    succeed(Command::new(python).arg(script("openai_python.py")).arg(format!("http://{}", server.address)));
}

#[test]
fn the_official_javascript_client_is_content() {
    let Ok(folder) = std::env::var("CAMELID_CLIENTS_NODE") else {
        return skipped("no folder with npm's openai (set CAMELID_CLIENTS_NODE)");
    };
    let server = Running::start();
    let address = format!("http://{}", server.address);
    succeed(Command::new("node").arg(script("openai_node.mjs")).arg(address).arg(&folder));
    server.wait_for("the end of what it left", || server.metric("camelid_sequences_running") == 0.0);
}

#[test]
fn the_pages_reader_of_streams_reads_them() {
    if Command::new("node").arg("--version").stdout(Stdio::null()).status().is_err() {
        return skipped("no node");
    }
    let server = Running::start();
    succeed(Command::new("node").arg(script("page_stream.mjs")).arg(format!("http://{}", server.address)));
    server.wait_for("the end of what it left", || server.metric("camelid_sequences_running") == 0.0);
}

/// A process that ends with the test.
struct Process(Child);

impl Process {
    fn start(command: &mut Command) -> Self {
        Self(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn wait_for_port(port: u16) {
    let began = Instant::now();
    while TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))).is_err() {
        assert!(began.elapsed() < Duration::from_secs(60), "nobody listens on {port}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn fastchats_controller_and_api_server_work_over_our_worker() {
    let modules = "fastchat.serve.controller, fastchat.serve.openai_api_server";
    let Some(python) = python_with(modules, "CAMELID_FASTCHAT_PYTHON") else { return };
    let folder = tempfile::tempdir().unwrap();
    let (controller, api, worker) = (free_port(), free_port(), free_port());
    let run = |work: &str| {
        let mut command = Command::new(&python);
        command
            .arg(script("fastchat_over_worker.py"))
            .args([controller.to_string(), api.to_string()])
            .arg(work);
        // It writes its logs where it runs.
        command.current_dir(folder.path()).env("LOGDIR", folder.path());
        command
    };
    let _controller = Process::start(&mut run("controller"));
    let _api = Process::start(&mut run("api"));
    wait_for_port(controller);
    wait_for_port(api);
    let link = ControllerLink {
        controller: format!("http://127.0.0.1:{controller}"),
        worker: format!("http://127.0.0.1:{worker}"),
        heart_beat: Duration::from_millis(200),
    };
    // However often the worker says that it lives, FastChat's servers pass over it.
    let keep_alive = Duration::from_millis(1);
    let settings = Settings { controller: Some(link), keep_alive, ..Settings::default() };
    let server = Running::at(worker, settings, Log::to, || small_model(CONTEXT));
    server.wait_for("the registration", || server.log().iter().any(|line| line["event"] == "registered"));
    succeed(run("ask").arg(format!("http://{}", server.address)));
}
