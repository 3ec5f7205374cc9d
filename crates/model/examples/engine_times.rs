//! Times of many sequences at once, on request: `benches/peers/llama_cpp.py` takes turns between this and
//! llama.cpp.
//!
//! `engine_times MODEL STREAMS STORAGE`: each line `{"prompts": [[id, …], …], "new": n}` is answered by
//! `{"first", "rest", "worked_first", "worked_rest", "ids", "peak_mib"}`: seconds until the first token of all
//! streams, and from there to the last, as they passed and as the cores worked. With `"schema"` the texts are JSON of that schema.
//! STORAGE is `f32`, `nf4` or `int8`.

use std::error::Error;
use std::io::{BufRead, Write};
use std::path::Path;
use std::time::Instant;

use burn::tensor::Device;
use camelid_model::{
    Constraint, Engine, EngineEvent, EngineOptions, EngineRequest, GenerateOptions, Llama, WeightStorage,
    load_tokenizer, open_weights,
};
use camelid_quant::QuantConfig;
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
struct Request {
    prompts: Vec<Vec<u32>>,
    new: usize,
    #[serde(default)]
    schema: Option<serde_json::Value>,
}

#[derive(Serialize)]
struct Answer {
    first: f64,
    rest: f64,
    worked_first: f64,
    worked_rest: f64,
    ids: Vec<Vec<u32>>,
    peak_mib: f64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().collect();
    let [_, model, streams, storage] = &args[..] else {
        return Err("expected MODEL STREAMS STORAGE".into());
    };
    let (path, streams): (&Path, usize) = (Path::new(model), streams.parse()?);
    let storage = match storage.as_str() {
        "f32" => WeightStorage::F32,
        "int8" => WeightStorage::Int8,
        "nf4" => WeightStorage::Quantized(QuantConfig::default()),
        other => return Err(format!("`{other}` is no storage; expected f32, nf4 or int8").into()),
    };
    let model = Llama::load(open_weights(path)?.as_ref(), &storage, &Device::flex())?;
    let options = EngineOptions {
        cache_bytes: 256 << 20,
        prefill_tokens: 512,
        max_running: streams,
        ..EngineOptions::default()
    };
    let tokenizer = load_tokenizer(path)?;

    let (stdin, mut stdout) = (std::io::stdin().lock(), std::io::stdout().lock());
    writeln!(stdout, "{{\"ready\": true}}")?;
    stdout.flush()?;
    for line in stdin.lines() {
        let request: Request = serde_json::from_str(&line?)?;
        // A new engine each time: nothing is found again.
        let mut engine = Engine::new(&model, tokenizer.clone(), options.clone())?;
        let answer = run(&mut engine, request)?;
        writeln!(stdout, "{}", serde_json::to_string(&answer)?)?;
        stdout.flush()?;
    }
    Ok(())
}

fn run(engine: &mut Engine, request: Request) -> Result<Answer, Box<dyn Error>> {
    let (start, worked) = (Instant::now(), core_seconds());
    let mut ids = Vec::new();
    for prompt in &request.prompts {
        let options = GenerateOptions { max_new_tokens: request.new, ..GenerateOptions::default() };
        let constraint = request.schema.clone().map(Constraint::JsonSchema);
        let request = EngineRequest { constraint, ..EngineRequest::new(prompt.clone(), options) };
        ids.push(engine.submit(request)?);
    }
    let mut made = vec![Vec::new(); ids.len()];
    let mut read = 0;
    let mut first = None;
    while !engine.is_idle() {
        for (id, event) in engine.step() {
            match event {
                EngineEvent::Prompt { .. } => read += 1,
                EngineEvent::Text { ids: new, .. } => {
                    let at = ids.iter().position(|known| *known == id).unwrap_or_default();
                    made[at].extend(new);
                }
                EngineEvent::Failed(error) => return Err(error.into()),
                EngineEvent::Done(_) => {}
            }
        }
        if first.is_none() && read == ids.len() {
            first = Some((start.elapsed().as_secs_f64(), core_seconds() - worked));
        }
    }
    let all = (start.elapsed().as_secs_f64(), core_seconds() - worked);
    let first = first.unwrap_or(all);
    Ok(Answer {
        first: first.0,
        rest: all.0 - first.0,
        worked_first: first.1,
        worked_rest: all.1 - first.1,
        ids: made,
        peak_mib: peak_mib(),
    })
}

/// Seconds that this process's threads worked; 0 where the system does not say.
fn core_seconds() -> f64 {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let nanoseconds = |task: std::fs::DirEntry| {
        let statistics = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        statistics.split_whitespace().next()?.parse::<f64>().ok()
    };
    tasks.filter_map(nanoseconds).sum::<f64>() / 1e9
}

/// Peak memory of this process; 0 where the system does not say.
fn peak_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kib.unwrap_or(0.0) / 1024.0
}
