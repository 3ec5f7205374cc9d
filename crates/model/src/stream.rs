//! Blocks of a model whose packed weights stay in a mapped file and pass through memory.
//!
//! A walk says which block it is about to use ([`BlockStream::enter`]). A thread reads the block
//! after it while this one computes: the next one on the way forward, the previous one on the way
//! back. When the budget is used up, the block that was used longest ago leaves. On a walk up and
//! down again that is the best choice there is: of the blocks passed last, which are the first
//! to come again, as many stay as fit.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use camelid_kernels::MappedFile;
use serde::Serialize;

use crate::error::ModelError;

/// A run of bytes of one tensor in a mapped file.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    pub tensor: String,
    pub file: Arc<MappedFile>,
    pub range: Range<usize>,
}

/// What streaming cost since the model was loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct StreamTraffic {
    /// Blocks read from the file.
    pub blocks_read: u64,
    /// Their bytes.
    pub bytes_read: u64,
    /// Seconds that the reading thread spent on them.
    pub read_seconds: f64,
    /// Times a walk had to wait for a block.
    pub waits: u64,
    /// Seconds of those waits.
    pub wait_seconds: f64,
    /// Bytes of blocks in memory now.
    pub resident_bytes: u64,
    /// The most there were.
    pub peak_resident_bytes: u64,
    /// The most there may be.
    pub budget_bytes: u64,
    /// Bytes of all blocks together.
    pub total_bytes: u64,
}

/// The blocks that stream, and the thread that reads them ahead of use.
#[derive(Debug)]
pub struct BlockStream {
    shared: Arc<Shared>,
    reader: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    blocks: Vec<Vec<Piece>>,
    sizes: Vec<u64>,
    state: Mutex<State>,
    changed: Condvar,
    stop: AtomicBool,
}

#[derive(Debug)]
struct State {
    places: Vec<Place>,
    /// When each block was entered last.
    last_use: Vec<u64>,
    clock: u64,
    /// The block in use; it never leaves.
    current: Option<usize>,
    upwards: bool,
    wanted: VecDeque<usize>,
    failed: Option<Failure>,
    traffic: StreamTraffic,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Away,
    Reading,
    Resident,
}

#[derive(Debug)]
struct Failure {
    block: usize,
    piece: Piece,
    source: io::Error,
}

impl BlockStream {
    /// Streams `blocks`, of whose bytes at most `budget` are in memory at a time. `origin` appears
    /// in errors only.
    ///
    /// # Errors
    /// [`ModelError::StreamBudget`] when two blocks do not fit: the one in use and the one being
    /// read.
    pub(crate) fn new(origin: &str, blocks: Vec<Vec<Piece>>, budget: u64) -> Result<Self, ModelError> {
        let sizes: Vec<u64> =
            blocks.iter().map(|pieces| pieces.iter().map(|p| p.range.len() as u64).sum()).collect();
        let needed = 2 * sizes.iter().copied().max().unwrap_or(0);
        if budget < needed {
            return Err(ModelError::StreamBudget { origin: origin.to_owned(), budget, needed });
        }
        let traffic = StreamTraffic {
            budget_bytes: budget,
            total_bytes: sizes.iter().sum(),
            ..StreamTraffic::default()
        };
        let state = State {
            places: vec![Place::Away; blocks.len()],
            last_use: vec![0; blocks.len()],
            clock: 0,
            current: None,
            upwards: true,
            wanted: VecDeque::new(),
            failed: None,
            traffic,
        };
        let shared = Arc::new(Shared {
            blocks,
            sizes,
            state: Mutex::new(state),
            changed: Condvar::new(),
            stop: AtomicBool::new(false),
        });
        let reading = shared.clone();
        let reader = std::thread::Builder::new()
            .name("block-stream".to_owned())
            .spawn(move || reading.read_what_is_wanted())
            .map_err(ModelError::io(origin))?;
        Ok(Self { shared, reader: Some(reader) })
    }

    /// Waits until block `i` is in memory and has the block after it read meanwhile. The block
    /// entered before may leave from now on.
    ///
    /// # Errors
    /// [`ModelError::StreamRead`] when the block cannot be read; the next call tries again.
    ///
    /// # Panics
    /// When there is no block `i`.
    pub fn enter(&self, i: usize) -> Result<(), ModelError> {
        let shared = &*self.shared;
        let mut state = shared.lock();
        state.clock += 1;
        state.last_use[i] = state.clock;
        state.upwards = match state.current {
            _ if i == 0 => true,
            _ if i + 1 == shared.blocks.len() => false,
            Some(before) if before != i => before < i,
            _ => state.upwards,
        };
        state.current = Some(i);
        if state.places[i] != Place::Resident {
            state.wanted.clear();
            state.wanted.push_back(i);
            shared.changed.notify_all();
            let waiting = Instant::now();
            while state.places[i] != Place::Resident {
                if let Some(failure) = state.failed.take_if(|failure| failure.block == i) {
                    return Err(failure.into());
                }
                state = shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            state.traffic.waits += 1;
            state.traffic.wait_seconds += waiting.elapsed().as_secs_f64();
        }
        let next = if state.upwards { Some(i + 1) } else { i.checked_sub(1) };
        if let Some(next) = next.filter(|&next| state.places.get(next) == Some(&Place::Away)) {
            state.wanted.push_back(next);
            shared.changed.notify_all();
        }
        Ok(())
    }

    /// Lets go of blocks that something read without entering them, as a checksum over the whole
    /// model does.
    ///
    /// # Errors
    /// [`ModelError::StreamRead`] when the system declines.
    pub fn release_strays(&self) -> Result<(), ModelError> {
        let state = self.shared.lock();
        let away = (0..self.shared.blocks.len()).filter(|&i| state.places[i] == Place::Away);
        for (block, piece) in away.flat_map(|i| self.shared.blocks[i].iter().map(move |piece| (i, piece))) {
            let released = piece.file.release(piece.range.clone());
            released.map_err(|source| Failure { block, piece: piece.clone(), source })?;
        }
        Ok(())
    }

    /// What streaming cost so far.
    pub fn traffic(&self) -> StreamTraffic {
        self.shared.lock().traffic
    }

    /// Bytes of the mapped files that are in this process's memory now, as the system counts.
    ///
    /// # Errors
    /// Where the system does not say ([`MappedFile::resident_bytes`]).
    pub fn mapped_resident_bytes(&self) -> io::Result<u64> {
        let mut files: Vec<&Arc<MappedFile>> = Vec::new();
        for piece in self.shared.blocks.iter().flatten() {
            if !files.iter().any(|known| Arc::ptr_eq(known, &piece.file)) {
                files.push(&piece.file);
            }
        }
        files.into_iter().map(|file| file.resident_bytes()).sum()
    }
}

impl Drop for BlockStream {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        // Under the lock, so that the thread is either before its look at `stop` or waiting.
        drop(self.shared.lock());
        self.shared.changed.notify_all();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

impl Shared {
    /// No code panics while it holds the lock with the state half changed.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// The reading thread.
    fn read_what_is_wanted(&self) {
        let mut state = self.lock();
        while !self.stopped() {
            let Some(block) = state.wanted.pop_front() else {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            if state.places[block] != Place::Away {
                continue;
            }
            let leaving = self.make_room(&mut state, block);
            drop(state);
            let started = Instant::now();
            let outcome = self.exchange(&leaving, block);
            state = self.lock();
            state.traffic.read_seconds += started.elapsed().as_secs_f64();
            match outcome {
                Ok(()) => {
                    state.places[block] = Place::Resident;
                    state.traffic.blocks_read += 1;
                    state.traffic.bytes_read += self.sizes[block];
                }
                Err(failure) => {
                    state.places[block] = Place::Away;
                    state.traffic.resident_bytes -= self.sizes[block];
                    state.failed = Some(failure);
                }
            }
            self.changed.notify_all();
        }
    }

    /// Books `block` in, and out those that have to leave for it; returns them.
    fn make_room(&self, state: &mut State, block: usize) -> Vec<usize> {
        let mut leaving = Vec::new();
        while state.traffic.resident_bytes + self.sizes[block] > state.traffic.budget_bytes {
            let resident = (0..self.blocks.len())
                .filter(|&b| state.places[b] == Place::Resident && state.current != Some(b));
            let Some(oldest) = resident.min_by_key(|&b| state.last_use[b]) else { break };
            state.places[oldest] = Place::Away;
            state.traffic.resident_bytes -= self.sizes[oldest];
            leaving.push(oldest);
        }
        state.places[block] = Place::Reading;
        state.traffic.resident_bytes += self.sizes[block];
        state.traffic.peak_resident_bytes =
            state.traffic.peak_resident_bytes.max(state.traffic.resident_bytes);
        leaving
    }

    fn exchange(&self, leaving: &[usize], block: usize) -> Result<(), Failure> {
        let failure = |piece: &Piece, source| Failure { block, piece: piece.clone(), source };
        for piece in leaving.iter().flat_map(|&b| &self.blocks[b]) {
            piece.file.release(piece.range.clone()).map_err(|source| failure(piece, source))?;
        }
        for piece in &self.blocks[block] {
            piece
                .file
                .read_ahead(piece.range.clone(), || !self.stopped())
                .map_err(|source| failure(piece, source))?;
        }
        Ok(())
    }
}

impl From<Failure> for ModelError {
    fn from(Failure { piece, source, .. }: Failure) -> Self {
        let path = piece.file.path().to_owned();
        ModelError::StreamRead { path, tensor: piece.tensor, range: piece.range, cause: source }
    }
}
