//! The pages of a file by their number, in blocks that copies of the file share until one of them is written.
//!
//! Disks are copied again and again, to be looked at; what did not change since must cost nothing then.

use super::page::{Page, ZEROES};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// Pages of a block.
const BLOCK_PAGES: u64 = 128;

/// Pages by number.
#[derive(Clone, Default)]
pub(super) struct PageMap(BTreeMap<u64, Arc<Block>>);

#[derive(Clone)]
struct Block {
    /// The first page's number is a multiple of [`BLOCK_PAGES`].
    pages: Vec<Option<Arc<Page>>>,
    present: usize,
}

impl Default for Block {
    fn default() -> Block {
        Block { pages: vec![None; BLOCK_PAGES as usize], present: 0 }
    }
}

impl PageMap {
    pub fn get(&self, number: u64) -> Option<&Arc<Page>> {
        self.0.get(&(number / BLOCK_PAGES))?.pages[(number % BLOCK_PAGES) as usize].as_ref()
    }

    pub fn insert(&mut self, number: u64, page: Arc<Page>) {
        let block = Arc::make_mut(self.0.entry(number / BLOCK_PAGES).or_default());
        let place = &mut block.pages[(number % BLOCK_PAGES) as usize];
        block.present += usize::from(place.is_none());
        *place = Some(page);
    }

    /// The page of that number to change it; one of zeroes if there is none yet.
    pub fn get_or_insert(&mut self, number: u64) -> &mut Page {
        let block = Arc::make_mut(self.0.entry(number / BLOCK_PAGES).or_default());
        let place = &mut block.pages[(number % BLOCK_PAGES) as usize];
        block.present += usize::from(place.is_none());
        Arc::make_mut(place.get_or_insert_with(|| Arc::new(ZEROES.clone())))
    }

    /// The page of that number to change it, if there is one.
    pub fn get_mut(&mut self, number: u64) -> Option<&mut Page> {
        self.get(number)?;
        Some(self.get_or_insert(number))
    }

    pub fn remove(&mut self, number: u64) {
        if self.get(number).is_none() {
            return;
        }
        if let Some(block) = self.0.get_mut(&(number / BLOCK_PAGES)) {
            let block = Arc::make_mut(block);
            block.pages[(number % BLOCK_PAGES) as usize] = None;
            block.present -= 1;
            if block.present == 0 {
                self.0.remove(&(number / BLOCK_PAGES));
            }
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = (u64, &Arc<Page>)> {
        self.0.iter().flat_map(|(block, pages)| {
            let numbered = pages.pages.iter().enumerate();
            numbered.filter_map(move |(place, page)| Some((block * BLOCK_PAGES + place as u64, page.as_ref()?)))
        })
    }

    /// The pages of a range of numbers.
    pub fn range(&self, range: Range<u64>) -> impl Iterator<Item = (u64, &Arc<Page>)> {
        let blocks = range.start / BLOCK_PAGES..range.end.div_ceil(BLOCK_PAGES).max(range.start / BLOCK_PAGES);
        self.0
            .range(blocks)
            .flat_map(|(block, pages)| {
                let numbered = pages.pages.iter().enumerate();
                numbered.filter_map(move |(place, page)| Some((block * BLOCK_PAGES + place as u64, page.as_ref()?)))
            })
            .filter(move |(number, _)| range.contains(number))
    }

    /// The highest number.
    pub fn last(&self) -> Option<u64> {
        let (block, pages) = self.0.last_key_value()?;
        let place = pages.pages.iter().rposition(Option::is_some)?;
        Some(block * BLOCK_PAGES + place as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_keeps_its_pages() {
        let mut map = PageMap::default();
        for number in [0, 5, 127, 128, 1000] {
            map.get_or_insert(number).write(0, &[1]);
        }
        let copy = map.clone();
        map.get_mut(127).unwrap().write(0, &[2]);
        map.remove(128);
        assert!(map.get_mut(128).is_none() && map.get(128).is_none());
        let numbers = |map: &PageMap| map.iter().map(|(number, _)| number).collect::<Vec<_>>();
        assert_eq!((numbers(&map), numbers(&copy)), (vec![0, 5, 127, 1000], vec![0, 5, 127, 128, 1000]));
        assert_eq!(map.range(5..1000).map(|(number, _)| number).collect::<Vec<_>>(), [5, 127]);
        assert_eq!((map.last(), PageMap::default().last()), (Some(1000), None));
        let shared = |number| Arc::ptr_eq(map.get(number).unwrap(), copy.get(number).unwrap());
        assert_eq!([0, 5, 127, 1000].map(shared), [true, true, false, true]);
        assert_eq!([map.get(127), copy.get(127)].map(|page| page.unwrap().bytes()[0]), [2, 1]);
    }
}
