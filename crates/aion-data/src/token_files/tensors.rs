//! Tokens in safetensors.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;

use super::{ABSENT, LENGTH, PADDING, Part, TokenMetadata, TokenReader, at, parse, wrong_count};
use crate::error::{DataError, Place, Problem, Result};
use crate::modality::ModalityId;
use crate::tensor_files::TensorFile;
use crate::tensor_files::identity::{
    Identities, Identity, ROW_TENSORS, put_identities, require_rows,
};
use crate::tensor_files::output::{Rows, TensorOut, write_tensors};
use crate::tokens::{ObjectTokens, TokenRow};

pub(super) fn open(path: &Path, wanted: Range<usize>, part: Part) -> Result<TokenReader> {
    let file = TensorFile::open(path)?;
    let mut modalities = Vec::new();
    let mut len = None;
    for name in file.names().filter(|name| !ROW_TENSORS.contains(name)) {
        let modality = check_tensor(&file, name, &mut len)?;
        modalities.push(modality);
    }
    modalities.sort();
    let len = len
        .filter(|len| *len > 0)
        .ok_or_else(|| DataError::new(Place::file(path), Problem::Empty))?;
    let identities = Identities::read(&file, len)?;
    let metadata = file.metadata().clone();
    let rows = wanted.start.min(len)..wanted.end.min(len);
    let read = match part {
        Part::Whole => modalities.clone(),
        Part::Identity => Vec::new(),
    };
    let rows = rows.map(move |row| read_row(&file, &identities, &read, row));
    Ok(TokenReader {
        metadata,
        len,
        modalities,
        largest: BTreeMap::new(),
        rows: Box::new(rows),
    })
}

/// Checks what concerns a whole tensor; `len` is the number of objects that tensors seen so far
/// agree on.
fn check_tensor(file: &TensorFile, name: &str, len: &mut Option<usize>) -> Result<ModalityId> {
    let tensor = file.require(name)?;
    if name.contains('/') {
        let problem = "tokens are tensors `<modality>`; this looks like a file of observations";
        let problem = Problem::Unrecognised(problem.to_owned());
        return Err(DataError::new(tensor.place(), problem));
    }
    let modality = ModalityId::from_key(name)
        .ok_or_else(|| DataError::new(tensor.place(), Problem::UnknownModality(name.to_owned())))?;
    tensor.require_integers()?;
    let (info, found) = (modality.info(), tensor.row_len());
    let fits = match info.is_sequence() {
        true => found > 0,
        false => found == info.num_tokens(),
    };
    if tensor.shape().is_empty() || !fits {
        return Err(at(file.path(), modality, wrong_count(modality, found)));
    }
    let len = *len.get_or_insert(tensor.rows());
    require_rows(tensor.place(), tensor.rows(), len)?;
    Ok(modality)
}

fn read_row(
    file: &TensorFile,
    identities: &Identities,
    modalities: &[ModalityId],
    row: usize,
) -> Result<TokenRow> {
    let id = identities.id(row);
    let mut tokens = ObjectTokens::new();
    for &modality in modalities {
        let read = || {
            let values = file.require(modality.key())?.integer_row(row)?;
            let values: Vec<i64> = values.into_iter().map(clamp).collect();
            parse(modality, &values).map_err(|problem| at(file.path(), modality, problem))
        };
        let found = read().map_err(|error| error.in_object(&id))?;
        tokens.extend(found.map(|found| (modality, found)));
    }
    Ok(TokenRow {
        ra: identities.ra(row),
        dec: identities.dec(row),
        flags: identities.flags(row),
        id,
        tokens,
    })
}

/// No vocabulary reaches where this changes anything.
fn clamp(token: i128) -> i64 {
    i64::try_from(token).unwrap_or(i64::MAX)
}

pub(super) fn write(path: &Path, rows: &[TokenRow], metadata: &TokenMetadata) -> Result<()> {
    let mut metadata: BTreeMap<String, String> = metadata.clone();
    let mut tensors = Vec::new();
    let modalities: BTreeSet<ModalityId> = rows
        .iter()
        .flat_map(|row| row.tokens.keys().copied())
        .collect();
    for modality in modalities {
        let asked = metadata.get(&format!("{modality}/{LENGTH}"));
        let asked = asked.and_then(|length| length.parse().ok()).unwrap_or(1);
        tensors.push(tensor(modality, rows, asked));
    }
    let identities: Vec<Identity<'_>> = rows.iter().map(Identity::from).collect();
    put_identities(&identities, &mut tensors, &mut metadata);
    write_tensors(path, tensors, &metadata)
}

fn tensor(modality: ModalityId, rows: &[TokenRow], shortest: usize) -> TensorOut<'_> {
    let of = move |row: &TokenRow| row.tokens.get(&modality).map_or(0, Vec::len);
    // A catalogue without sources is one padding token; it is not absent.
    let longest = rows.iter().map(of).max().unwrap_or(0).max(shortest.max(1));
    let padded = rows.iter().map(move |row| {
        let mut values: Vec<i64> = match row.tokens.get(&modality) {
            Some(tokens) => tokens.iter().map(|token| i64::from(*token)).collect(),
            None => vec![ABSENT; longest],
        };
        values.resize(longest, PADDING);
        Cow::Owned(values)
    });
    let shape = vec![rows.len(), longest];
    TensorOut::new(modality.key(), shape, Rows::I64(Box::new(padded)))
}
