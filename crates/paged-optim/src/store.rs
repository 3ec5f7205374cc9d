//! Pages under a budget: the least recently used leave first and come back before use.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Instant;

use serde::Serialize;

use crate::page::{PageData, PageLayout};
use crate::spill::SpillFile;
use crate::{OptimError, PageBudget, Spill};

/// Pages updated at a time where all state is resident.
const TOGETHER: usize = 64;

/// What paging cost since the optimizer was made. Saving and loading state files is not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Traffic {
    /// Pages brought back.
    pub pages_in: u64,
    /// Pages sent away.
    pub pages_out: u64,
    /// Bytes brought back.
    pub bytes_in: u64,
    /// Bytes sent away.
    pub bytes_out: u64,
    /// Times an update waited for a page that was away.
    pub stalls: u64,
    /// Seconds spent in those waits.
    pub stall_seconds: f64,
    /// Bytes resident now.
    pub resident_bytes: u64,
    /// Bytes of all state, resident or not.
    pub total_bytes: u64,
}

impl Traffic {
    /// The traffic between `earlier` and now; `resident_bytes` and `total_bytes` are those of now.
    pub fn since(&self, earlier: &Traffic) -> Traffic {
        Traffic {
            pages_in: self.pages_in - earlier.pages_in,
            pages_out: self.pages_out - earlier.pages_out,
            bytes_in: self.bytes_in - earlier.bytes_in,
            bytes_out: self.bytes_out - earlier.bytes_out,
            stalls: self.stalls - earlier.stalls,
            stall_seconds: self.stall_seconds - earlier.stall_seconds,
            ..*self
        }
    }
}

/// All pages of all tensors, by number.
#[derive(Debug)]
pub(crate) struct PageStore {
    pages: Vec<Page>,
    budget: PageBudget,
    /// Whether pages that leave go to `file`; else they stay in host memory.
    to_file: bool,
    file: SpillFile,
    /// Resident pages by time of last use.
    by_age: BTreeMap<u64, usize>,
    clock: u64,
    traffic: Traffic,
}

#[derive(Debug)]
struct Page {
    layout: PageLayout,
    place: Place,
    last_use: u64,
    /// Where in the spill file its space is reserved.
    slot: Option<u64>,
}

#[derive(Debug)]
enum Place {
    /// All zeros, never touched: costs nothing until the first update.
    Untouched,
    Resident(PageData),
    Host(PageData),
    /// In its slot of the file, which begins at this byte.
    File(u64),
}

impl PageStore {
    pub(crate) fn new(budget: PageBudget, spill: &Spill) -> Self {
        let (to_file, dir) = match spill {
            Spill::Host => (false, PathBuf::new()),
            Spill::File(dir) => (true, dir.clone()),
        };
        Self {
            pages: vec![],
            budget,
            to_file,
            file: SpillFile::new(dir),
            by_age: BTreeMap::new(),
            clock: 0,
            traffic: Traffic::default(),
        }
    }

    pub(crate) fn traffic(&self) -> Traffic {
        self.traffic
    }

    pub(crate) fn layout(&self, page: usize) -> PageLayout {
        self.pages[page].layout
    }

    /// Adds pages of zeros and reserves the disk space that paging may need. On an error the
    /// store is as before.
    pub(crate) fn add(
        &mut self,
        layouts: impl Iterator<Item = PageLayout>,
    ) -> Result<Range<usize>, OptimError> {
        let first = self.pages.len();
        self.pages.extend(layouts.map(|layout| Page {
            layout,
            place: Place::Untouched,
            last_use: 0,
            slot: None,
        }));
        let added: u64 = self.pages[first..].iter().map(Page::bytes).sum();
        self.traffic.total_bytes += added;
        if let Err(error) = self.reserve_slots() {
            self.pages.truncate(first);
            self.traffic.total_bytes -= added;
            return Err(error);
        }
        Ok(first..self.pages.len())
    }

    /// Once the state outgrows the budget any page may have to leave: each gets its place in the
    /// file, all in one reservation.
    fn reserve_slots(&mut self) -> Result<(), OptimError> {
        let fits = self.budget.is_none_or(|budget| self.traffic.total_bytes <= budget);
        if !self.to_file || fits {
            return Ok(());
        }
        let missing = self.pages.iter().filter(|page| page.slot.is_none());
        let wanted = missing.map(Page::bytes).sum();
        if wanted == 0 {
            return Ok(());
        }
        let mut at = self.file.reserve(wanted)?;
        for page in self.pages.iter_mut().filter(|page| page.slot.is_none()) {
            page.slot = Some(at);
            at += page.bytes();
        }
        Ok(())
    }

    /// Runs `change` on some of these pages after the other, brought in if they were away: on
    /// one at a time where a budget is kept, else on [`TOGETHER`], so that an update in parallel
    /// need not gather its threads for each page.
    pub(crate) fn with_pages(
        &mut self,
        pages: Range<usize>,
        mut change: impl FnMut(&mut [PageData]),
    ) -> Result<(), OptimError> {
        let together = if self.budget.is_some() { 1 } else { TOGETHER };
        let mut data = Vec::with_capacity(together);
        for first in pages.clone().step_by(together) {
            let batch = first..pages.end.min(first + together);
            let missing = batch.clone().try_for_each(|page| {
                data.push(self.bring_in(page)?);
                Ok::<_, OptimError>(())
            });
            if missing.is_ok() {
                change(&mut data);
            }
            for (page, data) in batch.zip(data.drain(..)) {
                self.put(page, data)?;
            }
            missing?;
        }
        Ok(())
    }

    /// Makes `data` the contents of a page that was never touched (loading a state file).
    pub(crate) fn fill(&mut self, index: usize, data: PageData) -> Result<(), OptimError> {
        self.make_room(self.pages[index].bytes())?;
        self.traffic.resident_bytes += self.pages[index].bytes();
        self.put(index, data)
    }

    /// A page's contents wherever they are, without moving it.
    pub(crate) fn peek(&self, index: usize) -> Result<Cow<'_, PageData>, OptimError> {
        let page = &self.pages[index];
        Ok(match &page.place {
            Place::Untouched => Cow::Owned(page.layout.zeros()),
            Place::Resident(data) | Place::Host(data) => Cow::Borrowed(data),
            Place::File(slot) => Cow::Owned(self.file.read(*slot, page.layout)?),
        })
    }

    /// Takes a page out of its place; it counts as resident from here on.
    fn bring_in(&mut self, index: usize) -> Result<PageData, OptimError> {
        let bytes = self.pages[index].bytes();
        if !matches!(self.pages[index].place, Place::Resident(_)) {
            self.make_room(bytes)?;
            self.traffic.resident_bytes += bytes;
        }
        let page = &mut self.pages[index];
        self.by_age.remove(&page.last_use);
        let started = Instant::now();
        let data = match std::mem::replace(&mut page.place, Place::Untouched) {
            Place::Untouched => return Ok(page.layout.zeros()),
            Place::Resident(data) => return Ok(data),
            Place::Host(data) => data,
            Place::File(slot) => match self.file.read(slot, page.layout) {
                Ok(data) => data,
                Err(error) => {
                    page.place = Place::File(slot);
                    self.traffic.resident_bytes -= bytes;
                    return Err(error);
                }
            },
        };
        self.traffic.pages_in += 1;
        self.traffic.bytes_in += bytes;
        self.traffic.stalls += 1;
        self.traffic.stall_seconds += started.elapsed().as_secs_f64();
        Ok(data)
    }

    /// Puts a page back as the most recently used, and keeps to the budget.
    fn put(&mut self, index: usize, data: PageData) -> Result<(), OptimError> {
        self.clock += 1;
        let page = &mut self.pages[index];
        page.place = Place::Resident(data);
        page.last_use = self.clock;
        self.by_age.insert(self.clock, index);
        self.make_room(0)
    }

    /// Sends pages away, oldest first, until `bytes` more fit (or none is left).
    fn make_room(&mut self, bytes: u64) -> Result<(), OptimError> {
        let Some(budget) = self.budget else { return Ok(()) };
        while self.traffic.resident_bytes + bytes > budget {
            let Some((_, &index)) = self.by_age.first_key_value() else { break };
            self.send_away(index)?;
        }
        Ok(())
    }

    /// A page leaves memory only after it has been written.
    fn send_away(&mut self, index: usize) -> Result<(), OptimError> {
        let page = &mut self.pages[index];
        let data = match std::mem::replace(&mut page.place, Place::Untouched) {
            Place::Resident(data) => data,
            other => {
                page.place = other;
                return Ok(());
            }
        };
        page.place = match page.slot {
            Some(slot) => match self.file.write(slot, &data) {
                Ok(()) => Place::File(slot),
                Err(error) => {
                    page.place = Place::Resident(data);
                    return Err(error);
                }
            },
            None => Place::Host(data),
        };
        let bytes = page.bytes();
        self.by_age.remove(&page.last_use);
        self.traffic.resident_bytes -= bytes;
        self.traffic.pages_out += 1;
        self.traffic.bytes_out += bytes;
        Ok(())
    }
}

impl Page {
    fn bytes(&self) -> u64 {
        self.layout.bytes() as u64
    }
}
