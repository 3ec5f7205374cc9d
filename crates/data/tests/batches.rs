//! Samplers, packing, batches.

use std::collections::HashSet;

use camelid_chat::IGNORE_INDEX;
use camelid_data::packing::pack;
use camelid_data::{Batch, DataError, Example, Position, Sampler, SamplerKind};
use proptest::prelude::*;

const KINDS: [SamplerKind; 3] = [SamplerKind::Sequential, SamplerKind::Random, SamplerKind::LengthGrouped];

/// Ids `first..first + len`; every label learnt but the first two.
fn example(first: u32, len: usize) -> Example {
    let ids: Vec<u32> = (first..).take(len).collect();
    let labels = ids.iter().map(|&id| if id < first + 2 { IGNORE_INDEX } else { i64::from(id) });
    Example { id: first.to_string(), labels: labels.collect(), ids }
}

/// Lengths 0..100 in a scrambled but fixed order.
fn lengths(count: usize) -> Vec<usize> {
    (0..count).map(|i| i * 7919 % 101).collect()
}

#[test]
fn a_batch_is_its_examples_end_to_end_with_labels_where_the_ids_are() {
    let (short, long) = (example(10, 3), example(20, 5));
    let batch = Batch::packed(&[&short, &long]).unwrap();
    let x = IGNORE_INDEX;
    assert_eq!(batch.ids, [10, 11, 12, 20, 21, 22, 23, 24]);
    assert_eq!(batch.labels, [x, x, 12, x, x, 22, 23, 24]);
    assert_eq!(batch.cu_seqlens, [0, 3, 8]);
    assert_eq!((batch.sequences(), batch.lengths().collect::<Vec<_>>()), (2, vec![3, 5]));
    assert_eq!((batch.tokens(), batch.supervised_tokens()), (8, 4));
}

#[test]
fn nothing_predicts_the_first_token_of_a_sequence() {
    let all =
        |first: u32| Example { labels: (first..).map(i64::from).take(3).collect(), ..example(first, 3) };
    let batch = Batch::packed(&[&all(10), &all(20)]).unwrap();
    assert_eq!(batch.labels, [IGNORE_INDEX, 11, 12, IGNORE_INDEX, 21, 22]);
}

#[test]
fn a_batch_of_nonsense_is_an_error() {
    let good = example(0, 4);
    let empty = Example { ids: vec![], labels: vec![], ..good.clone() };
    let uneven = Example { labels: vec![1], ..good.clone() };
    for examples in [vec![], vec![&good, &empty], vec![&uneven]] {
        let result = Batch::packed(&examples);
        assert!(matches!(result, Err(DataError::Option(_))), "{result:?}");
    }
}

#[test]
fn packing_cuts_blocks_and_records_boundaries() {
    let examples = [example(10, 5), example(20, 4), example(30, 3)];
    let blocks = pack(&examples, 4, true).unwrap();
    let ids: Vec<&[u32]> = blocks.iter().map(|b| b.example.ids.as_slice()).collect();
    assert_eq!(ids, [&[10, 11, 12, 13][..], &[14, 20, 21, 22], &[23, 30, 31, 32]]);
    let x = IGNORE_INDEX;
    assert_eq!(blocks[1].example.labels, [14, x, x, 22]);
    let segments: Vec<_> =
        blocks[1].segments.iter().map(|s| (s.example, s.range.clone(), s.offset)).collect();
    assert_eq!(segments, [(0, 0..1, 4), (1, 1..4, 0)]);
    assert_eq!(pack(&examples, 5, true).unwrap().len(), 3);
    assert_eq!(pack(&examples, 5, false).unwrap().len(), 2);
    assert!(matches!(pack(&examples, 1, true), Err(DataError::Option(_))));
}

#[test]
fn packing_never_learns_an_examples_first_token() {
    let mut learnt = example(10, 3);
    learnt.labels = vec![10, 11, 12];
    let blocks = pack(&[learnt.clone(), learnt], 6, false).unwrap();
    let x = IGNORE_INDEX;
    assert_eq!(blocks[0].example.labels, [x, 11, 12, x, 11, 12]);
}

/// `get_length_grouped_indices` of transformers, written down from its rule.
fn plain_length_grouped(lengths: &[usize], batch: usize, shuffled: &[usize]) -> Vec<usize> {
    let mut mult = std::cmp::min(lengths.len() / (batch * 4), 50);
    if mult == 0 {
        mult = 1;
    }
    let mut megabatches: Vec<Vec<usize>> = shuffled.chunks(mult * batch).map(<[usize]>::to_vec).collect();
    for megabatch in &mut megabatches {
        megabatch.sort_by(|a, b| lengths[*b].cmp(&lengths[*a]));
    }
    let mut max = 0;
    for (i, megabatch) in megabatches.iter().enumerate() {
        if lengths[megabatch[0]] > lengths[megabatches[max][0]] {
            max = i;
        }
    }
    let longest = megabatches[max][0];
    megabatches[max][0] = megabatches[0][0];
    megabatches[0][0] = longest;
    megabatches.concat()
}

#[test]
fn length_grouping_follows_hugging_faces_rule() {
    for (count, batch) in [(1, 16), (10, 16), (1000, 1), (1000, 4), (3300, 16), (5000, 8)] {
        let lengths = lengths(count);
        let random = Sampler::new(SamplerKind::Random, lengths.clone(), batch, 3).unwrap();
        let grouped = Sampler::new(SamplerKind::LengthGrouped, lengths.clone(), batch, 3).unwrap();
        for epoch in 0..3 {
            let expected = plain_length_grouped(&lengths, batch, &random.order(epoch));
            let order = grouped.order(epoch);
            assert_eq!(order, expected);
            assert_eq!(Some(&lengths[order[0]]), lengths.iter().max());
        }
    }
}

#[test]
fn length_grouping_pads_far_less_than_chance() {
    let lengths = lengths(4000);
    let padding = |kind| {
        let mut sampler = Sampler::new(kind, lengths.clone(), 16, 1).unwrap();
        let mut waste = 0;
        for _ in 0..sampler.batches_per_epoch() {
            let batch = sampler.next_batch();
            let longest = batch.iter().map(|&i| lengths[i]).max().unwrap();
            waste += batch.iter().map(|&i| longest - lengths[i]).sum::<usize>();
        }
        waste
    };
    assert!(padding(SamplerKind::LengthGrouped) * 10 < padding(SamplerKind::Random));
}

#[test]
fn orders_depend_on_seed_and_epoch_alone() {
    let new = |seed| Sampler::new(SamplerKind::Random, lengths(500), 8, seed).unwrap();
    assert_eq!(new(5).order(2), new(5).order(2));
    assert_ne!(new(5).order(2), new(6).order(2));
    assert_ne!(new(5).order(2), new(5).order(3));
    // Seed and epoch do not stand in for each other.
    assert_ne!(new(5).order(6), new(6).order(5));
    let small = Sampler::new(SamplerKind::Random, vec![1; 10], 2, 42).unwrap();
    assert_eq!(small.order(0), PINNED, "the order of a seed must never change");
}

/// What seed 42 gives; runs are resumed by position, so this must stay.
const PINNED: [usize; 10] = [2, 1, 4, 3, 7, 0, 5, 8, 6, 9];

#[test]
fn nonsense_is_refused() {
    assert!(Sampler::new(SamplerKind::Random, vec![], 2, 0).is_err());
    assert!(Sampler::new(SamplerKind::Random, vec![1], 0, 0).is_err());
    let mut sampler = Sampler::new(SamplerKind::Random, vec![1; 5], 2, 0).unwrap();
    let error = sampler.seek(Position { epoch: 0, index: 5 }).unwrap_err();
    assert!(error.to_string().contains("another data set"), "{error}");
}

proptest! {
    #[test]
    fn every_epoch_gives_each_index_once(count in 1usize..300, batch in 1usize..40, seed: u64) {
        for kind in KINDS {
            let mut sampler = Sampler::new(kind, lengths(count), batch, seed).unwrap();
            for epoch in 0..2 {
                prop_assert_eq!(sampler.position(), Position { epoch, index: 0 });
                let batches: Vec<_> =
                    (0..sampler.batches_per_epoch()).map(|_| sampler.next_batch()).collect();
                let seen: HashSet<usize> = batches.iter().flatten().copied().collect();
                prop_assert_eq!(seen.len(), count);
                prop_assert_eq!(batches.concat().len(), count);
                prop_assert!(batches[..batches.len() - 1].iter().all(|b| b.len() == batch));
            }
        }
    }

    #[test]
    fn a_sampler_resumes_at_any_position(count in 1usize..100, batch in 1usize..9, seed: u64, steps in 0usize..60) {
        for kind in KINDS {
            let mut whole = Sampler::new(kind, lengths(count), batch, seed).unwrap();
            for _ in 0..steps {
                whole.next_batch();
            }
            let saved = serde_json::to_string(&whole.position()).unwrap();
            let mut resumed = Sampler::new(kind, lengths(count), batch, seed).unwrap();
            resumed.seek(serde_json::from_str(&saved).unwrap()).unwrap();
            for _ in 0..20 {
                prop_assert_eq!(whole.next_batch(), resumed.next_batch());
            }
        }
    }

    #[test]
    fn packing_loses_nothing(sizes in proptest::collection::vec(0usize..30, 0..20), block in 2usize..20) {
        let examples: Vec<Example> =
            sizes.iter().enumerate().map(|(i, &len)| example(1000 * i as u32, len)).collect();
        let blocks = pack(&examples, block, true).unwrap();
        let packed: Vec<u32> = blocks.iter().flat_map(|b| b.example.ids.clone()).collect();
        let plain: Vec<u32> = examples.iter().flat_map(|e| e.ids.clone()).collect();
        prop_assert_eq!(packed, plain);
        for packed in &blocks {
            let mut covered = 0;
            for segment in &packed.segments {
                prop_assert_eq!(segment.range.start, covered);
                covered = segment.range.end;
                let source = &examples[segment.example].ids[segment.offset..];
                prop_assert_eq!(&packed.example.ids[segment.range.clone()], &source[..segment.range.len()]);
            }
            prop_assert_eq!(covered, packed.example.ids.len());
        }
    }
}
