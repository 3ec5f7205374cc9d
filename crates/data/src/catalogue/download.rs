//! One file over HTTP into `<name>.partial`, going on where an earlier attempt
//! (of this process or another) broke off.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use ureq::http::{Response, StatusCode, header};
use ureq::{Agent, Body};

use crate::DataError;

pub(super) struct Download<'a> {
    pub url: &'a str,
    /// Sent as a bearer token.
    pub token: Option<&'a str>,
    /// The finished file's path; nothing is written there.
    pub to: &'a Path,
    /// For the progress bar.
    pub name: &'a str,
    /// Expected size.
    pub size: Option<u64>,
    /// Whether the SHA-256 is known, so that parts of two versions of the file
    /// cannot pass for one.
    pub pinned: bool,
    pub progress: bool,
    pub attempts: usize,
    pub stall: Duration,
}

/// A complete partial file; while this lives, no other process touches it.
pub(super) struct Complete {
    pub partial: PathBuf,
    _lock: File,
}

/// `dir/name` → `dir/name.<ending>`.
pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".");
    name.push(ending);
    path.with_file_name(name)
}

/// Why an attempt ended before the file was complete.
enum Failure {
    /// Trying again may help.
    Broken(String),
    Final(DataError),
}

impl From<DataError> for Failure {
    fn from(error: DataError) -> Self {
        Failure::Final(error)
    }
}

/// Downloads. `None` when another process finished the file in the meantime.
pub(super) fn run(download: &Download) -> Result<Option<Complete>, DataError> {
    if let Some(folder) = download.to.parent() {
        fs::create_dir_all(folder).map_err(DataError::io(folder, "create"))?;
    }
    let lock = lock(&beside(download.to, "lock"))?;
    if download.to.is_file() {
        return Ok(None);
    }
    let partial = beside(download.to, "partial");
    let mut file = OpenOptions::new()
        .append(true)
        .create(true)
        .open(&partial)
        .map_err(DataError::io(&partial, "open"))?;
    let agent: Agent = Agent::config_builder()
        .http_status_as_error(false)
        .timeout_connect(Some(download.stall))
        .timeout_recv_response(Some(download.stall))
        .timeout_per_read(Some(download.stall))
        .build()
        .into();
    let bar = progress_bar(download);

    let mut furthest = length(&file, &partial)?;
    let mut failures = 0;
    loop {
        match attempt(download, &agent, &mut file, &partial, &bar) {
            Ok(()) => break,
            Err(Failure::Final(error)) => return Err(error),
            Err(Failure::Broken(message)) => {
                let received = length(&file, &partial)?;
                failures = if received > furthest { 1 } else { failures + 1 };
                furthest = furthest.max(received);
                if failures >= download.attempts {
                    return Err(DataError::Interrupted {
                        url: download.url.to_string(),
                        attempts: failures,
                        received,
                        partial,
                        message,
                    });
                }
                std::thread::sleep(Duration::from_millis(100 << failures.min(6)));
            }
        }
    }
    file.sync_all().map_err(DataError::io(&partial, "write"))?;
    bar.finish_and_clear();
    Ok(Some(Complete { partial, _lock: lock }))
}

fn lock(path: &Path) -> Result<File, DataError> {
    let file = File::create(path).map_err(DataError::io(path, "create"))?;
    file.lock().map_err(DataError::io(path, "lock"))?;
    Ok(file)
}

fn length(file: &File, path: &Path) -> Result<u64, DataError> {
    Ok(file.metadata().map_err(DataError::io(path, "read"))?.len())
}

fn attempt(
    download: &Download,
    agent: &Agent,
    file: &mut File,
    partial: &Path,
    bar: &ProgressBar,
) -> Result<(), Failure> {
    let tag_path = beside(partial, "etag");
    let tag = fs::read_to_string(&tag_path).ok();
    let mut have = length(file, partial)?;
    if have > 0 && !download.pinned && tag.is_none() {
        // Nothing would tell whether the rest belongs to the same version.
        restart(file, partial)?;
        have = 0;
    }

    let mut request = agent.get(download.url).header(header::ACCEPT_ENCODING, "identity");
    if have > 0 {
        request = request.header(header::RANGE, format!("bytes={have}-"));
        if let Some(tag) = &tag {
            request = request.header(header::IF_RANGE, tag);
        }
    }
    if let Some(token) = download.token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    let response = request.call().map_err(|error| match error {
        ureq::Error::BadUri(_) | ureq::Error::Http(_) => {
            Failure::Final(DataError::Http { url: download.url.to_string(), message: error.to_string() })
        }
        other => Failure::Broken(other.to_string()),
    })?;

    let total = match response.status() {
        StatusCode::PARTIAL_CONTENT => match content_range(&response) {
            Some((Some(start), total)) if start == have => total,
            _ => {
                restart(file, partial)?;
                return Err(Failure::Broken("the server sent another range".to_string()));
            }
        },
        StatusCode::OK => {
            if have > 0 {
                restart(file, partial)?;
                have = 0;
            }
            number(&response, header::CONTENT_LENGTH)
        }
        StatusCode::RANGE_NOT_SATISFIABLE if have > 0 => {
            if content_range(&response).is_some_and(|(_, total)| total == Some(have)) {
                return Ok(());
            }
            restart(file, partial)?;
            return Err(Failure::Broken("the partial file was too long".to_string()));
        }
        status => return Err(refused(download.url, status)),
    };
    if let (Some(expected), Some(total)) = (download.size, total)
        && total != expected
    {
        return Err(Failure::Final(DataError::Http {
            url: download.url.to_string(),
            message: format!("the server has {total} bytes, the catalogue says {expected}"),
        }));
    }
    remember_tag(&tag_path, &response)?;
    bar.set_length(total.or(download.size).unwrap_or(0));
    bar.set_position(have);
    receive(response.into_body(), file, partial, have, total, bar)
}

fn receive(
    body: Body,
    file: &mut File,
    partial: &Path,
    mut have: u64,
    total: Option<u64>,
    bar: &ProgressBar,
) -> Result<(), Failure> {
    let mut reader = body.into_reader();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let count = match reader.read(&mut buffer) {
            Ok(count) => count,
            Err(error) => return Err(Failure::Broken(error.to_string())),
        };
        if count == 0 {
            break;
        }
        // A full disk ends here; what was written stays for the next fetch.
        file.write_all(&buffer[..count]).map_err(DataError::io(partial, "write"))?;
        have += count as u64;
        bar.set_position(have);
    }
    match total {
        Some(total) if have < total => {
            Err(Failure::Broken(format!("the connection closed after {have} of {total} bytes")))
        }
        _ => Ok(()),
    }
}

/// Empties the partial file and forgets which version it was part of.
fn restart(file: &mut File, partial: &Path) -> Result<(), DataError> {
    file.set_len(0).map_err(DataError::io(partial, "empty"))?;
    forget(&beside(partial, "etag"))
}

fn forget(path: &Path) -> Result<(), DataError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(DataError::io(path, "remove")(error))
        }
        _ => Ok(()),
    }
}

/// Keeps a strong entity tag beside the partial file: `If-Range` takes no other.
fn remember_tag(path: &Path, response: &Response<Body>) -> Result<(), DataError> {
    let tag = response.headers().get(header::ETAG);
    match tag.and_then(|tag| tag.to_str().ok()) {
        Some(tag) if tag.starts_with('"') => fs::write(path, tag).map_err(DataError::io(path, "write")),
        _ => forget(path),
    }
}

/// Start (none in `bytes */total`) and total of a `Content-Range`.
fn content_range(response: &Response<Body>) -> Option<(Option<u64>, Option<u64>)> {
    let value = response.headers().get(header::CONTENT_RANGE)?.to_str().ok()?;
    let (range, total) = value.strip_prefix("bytes ")?.split_once('/')?;
    let start = range.split_once('-').and_then(|(start, _)| start.parse().ok());
    Some((start, total.parse().ok()))
}

fn number(response: &Response<Body>, name: header::HeaderName) -> Option<u64> {
    response.headers().get(name)?.to_str().ok()?.parse().ok()
}

fn refused(url: &str, status: StatusCode) -> Failure {
    let busy = status.is_server_error()
        || status == StatusCode::TOO_MANY_REQUESTS
        || status == StatusCode::REQUEST_TIMEOUT;
    if busy {
        return Failure::Broken(format!("the server answered {status}"));
    }
    let hint = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => "; the file may need an access token in HF_TOKEN",
        StatusCode::NOT_FOUND => "; the file is no longer there",
        _ => "",
    };
    Failure::Final(DataError::Http {
        url: url.to_string(),
        message: format!("the server answered {status}{hint}"),
    })
}

fn progress_bar(download: &Download) -> ProgressBar {
    if !download.progress {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(download.size, ProgressDrawTarget::stderr());
    let template = "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_message(download.name.to_string());
    bar
}
