//! Which row of a packed batch belongs to which object and modality.
//!
//! All tokens of a batch are rows of one matrix: object after object, and inside an object its
//! register rows, then modality after modality in registry order. Tables of embeddings are read
//! modality by modality for the whole batch, so [`Layout::sources`] says which row of those
//! readings goes where.

use std::collections::BTreeMap;
use std::ops::Range;

use aion_data::ModalityId;
use aion_kernel::Segments;
use burn::tensor::{Device, Int, Tensor, TensorData};

/// Consecutive rows of one object with one origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Place of the object in the batch.
    pub object: usize,
    /// Modality of the tokens; `None` for register rows.
    pub modality: Option<ModalityId>,
    /// The rows.
    pub rows: Range<usize>,
}

/// The rows of a packed batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Layout {
    groups: Vec<Group>,
    objects: Segments,
}

impl Layout {
    /// Lays out objects that each have `registers` rows and then the given number of tokens.
    pub(crate) fn new<'a, T: 'a>(
        batch: impl Iterator<Item = &'a BTreeMap<ModalityId, T>>,
        registers: usize,
        len: impl Fn(&T) -> usize,
    ) -> Self {
        let mut groups = Vec::new();
        let mut lengths = Vec::new();
        let mut end = 0;
        for (object, parts) in batch.enumerate() {
            let start = end;
            let registers = (registers > 0).then_some((None, registers));
            let parts = parts.iter().map(|(id, part)| (Some(*id), len(part)));
            let parts = parts.filter(|(_, length)| *length > 0);
            for (modality, length) in registers.into_iter().chain(parts) {
                let rows = end..end + length;
                end = rows.end;
                groups.push(Group {
                    object,
                    modality,
                    rows,
                });
            }
            lengths.push(end - start);
        }
        Layout {
            groups,
            objects: Segments::new(lengths),
        }
    }

    /// Groups in row order.
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// Rows of each object.
    pub fn objects(&self) -> &Segments {
        &self.objects
    }

    /// Groups of one modality, in object order.
    pub fn of(&self, modality: ModalityId) -> impl Iterator<Item = &Group> {
        self.groups
            .iter()
            .filter(move |group| group.modality == Some(modality))
    }

    /// The origin of each row.
    pub fn labels(&self) -> impl Iterator<Item = Option<ModalityId>> + '_ {
        let labels = self.groups.iter();
        labels.flat_map(|group| std::iter::repeat_n(group.modality, group.rows.len()))
    }

    /// For each row, the row it has in readings of `registers` register rows followed by one
    /// modality after the other, each over all objects. `None` where the order is the same.
    pub(crate) fn sources(&self, registers: usize) -> Option<Vec<i64>> {
        let mut next: BTreeMap<ModalityId, usize> = BTreeMap::new();
        for group in &self.groups {
            if let Some(modality) = group.modality {
                *next.entry(modality).or_default() += group.rows.len();
            }
        }
        let mut end = registers;
        for start in next.values_mut() {
            let length = std::mem::replace(start, end);
            end += length;
        }
        let mut sources = Vec::with_capacity(self.objects.total());
        for group in &self.groups {
            let start = match group.modality.and_then(|modality| next.get_mut(&modality)) {
                None => 0,
                Some(start) => {
                    let first = *start;
                    *start += group.rows.len();
                    first
                }
            };
            sources.extend((start..start + group.rows.len()).map(|row| row as i64));
        }
        let same =
            sources.len() == end && sources.iter().zip(0..).all(|(source, row)| *source == row);
        (!same).then_some(sources)
    }
}

/// Indices as a tensor.
pub(crate) fn indices(values: Vec<i64>, device: &Device) -> Tensor<1, Int> {
    let len = values.len();
    Tensor::from_data(TensorData::new(values, [len]), device)
}

/// The rows of several ranges, one range after the other.
pub(crate) fn take_rows(values: &Tensor<2>, ranges: &[Range<usize>]) -> Tensor<2> {
    match ranges {
        [range] => values.clone().slice([range.clone()]),
        _ => {
            let rows = ranges.iter().flat_map(|range| range.clone());
            let rows = rows.map(|row| row as i64).collect();
            let device = values.device();
            values.clone().select(0, indices(rows, &device))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_interleave_modalities_by_object() {
        let id = |key| ModalityId::from_key(key).expect("a known key");
        let (flux, xp) = (id("tok_flux_g"), id("tok_xp_bp"));
        let batch = [
            BTreeMap::from([(xp, 2)]),
            BTreeMap::from([(flux, 1), (xp, 1)]),
        ];
        let layout = Layout::new(batch.iter(), 1, |len| *len);
        // Readings: register 0, flux 1, xp 2 3 of object 0 and 4 of object 1.
        assert_eq!(layout.sources(1), Some(vec![0, 2, 3, 0, 1, 4]));
        assert_eq!(layout.objects().lengths(), [3, 3]);
        let one = Layout::new(batch[1..].iter(), 1, |len| *len);
        assert_eq!(one.sources(1), None);
    }
}
