//! The header of ECSV tables (Astropy APE 6): commented YAML that gives each column's name, unit
//! and type. The Gaia archive's bulk files carry it too, and Astropy's Parquet files keep the same
//! YAML in their metadata.

use std::collections::BTreeMap;

use yaml_rust2::{Yaml, YamlLoader};

/// What a header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    /// What separates the cells of a row; a blank unless the header says otherwise.
    pub delimiter: u8,
    /// The columns in order.
    pub columns: Vec<Described>,
}

/// One column of a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Described {
    /// Its name.
    pub name: String,
    /// Its unit, where there is one.
    pub unit: Option<String>,
    /// Its type: `int64`, `float32`, `bool`, `string`, ...
    pub datatype: String,
}

/// The most bytes of YAML that are parsed; Gaia's longest header is below a tenth of it.
pub(super) const LONGEST_HEADER: usize = 4 << 20;

/// Whether the first line of a text file says that it is ECSV.
pub(super) fn is_mark(line: &str) -> bool {
    let rest = line.strip_prefix('#').map(str::trim_start);
    rest.is_some_and(|rest| rest.starts_with("%ECSV"))
}

/// Reads a header, without its comment marks.
///
/// Errors say what is wrong: no YAML, no list `datatype`, a column without name or type, another
/// delimiter than comma or blank.
pub(super) fn parse(yaml: &str) -> Result<Header, String> {
    if yaml.len() > LONGEST_HEADER {
        return Err("the header is too long".into());
    }
    let documents = YamlLoader::load_from_str(yaml);
    let documents = documents.map_err(|error| format!("the header is no YAML: {error}"))?;
    let header = documents
        .first()
        .ok_or("the header is empty, expected `datatype`")?;
    let delimiter = match &header["delimiter"] {
        Yaml::BadValue => b' ',
        Yaml::String(text) if text == " " => b' ',
        Yaml::String(text) if text == "," => b',',
        other => return Err(format!("delimiter is {other:?}, expected comma or blank")),
    };
    let columns = header["datatype"]
        .as_vec()
        .ok_or("the header has no list `datatype`")?;
    Ok(Header {
        delimiter,
        columns: columns.iter().map(described).collect::<Result<_, _>>()?,
    })
}

/// Units by column name, of the columns that have one. Errors as for [`parse`].
pub(super) fn units(yaml: &str) -> Result<BTreeMap<String, String>, String> {
    let columns = parse(yaml)?.columns.into_iter();
    Ok(columns
        .filter_map(|column| Some((column.name, column.unit?)))
        .collect())
}

fn described(entry: &Yaml) -> Result<Described, String> {
    let name = text(&entry["name"]).ok_or("a column of the header has no `name`")?;
    let Some(datatype) = text(&entry["datatype"]) else {
        return Err(format!("column {name} of the header has no `datatype`"));
    };
    Ok(Described {
        unit: text(&entry["unit"]).filter(|unit| !unit.is_empty()),
        name,
        datatype,
    })
}

/// A scalar as it was written: YAML takes a column called `1` for a number, `y` for itself.
fn text(value: &Yaml) -> Option<String> {
    match value {
        Yaml::String(text) | Yaml::Real(text) => Some(text.clone()),
        Yaml::Integer(number) => Some(number.to_string()),
        Yaml::Boolean(value) => Some(value.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_of_a_list_are_read() {
        let flow = "%ECSV 1.0\n---\ndatatype:\n- {name: ra, unit: deg, datatype: float64}\n\
                    - {name: flux, unit: '''electron''.s**-1', datatype: float64, \
                    description: 'a: b, c'}\ndelimiter: ','\nmeta: !!omap\n- {a: 1}\n\
                    schema: astropy-2.0\n";
        let block = "---\ndelimiter: ','\ndatatype:\n-\n  name: ra\n  datatype: float64\n  \
                     unit: deg\n  description: Right ascension\n-\n  name: flux\n  \
                     datatype: float64\n  unit: \"'electron'.s**-1\"\n";
        let yaml = flow.split_once('\n').map_or("", |(_, rest)| rest);
        let header = parse(yaml).expect("a header");
        assert_eq!(header.delimiter, b',');
        assert_eq!(header.columns[0].unit.as_deref(), Some("deg"));
        assert_eq!(header.columns[1].unit.as_deref(), Some("'electron'.s**-1"));
        assert_eq!(parse(block), Ok(header));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (yaml, reason) in [
            ("a: [", "no YAML"),
            ("", "empty"),
            ("a: 1", "no list `datatype`"),
            ("datatype:\n- {unit: deg}", "no `name`"),
            ("datatype:\n- {name: ra}", "column ra of the header has no"),
            ("delimiter: '|'\ndatatype: []", "delimiter"),
        ] {
            let error = parse(yaml).expect_err(yaml);
            assert!(error.contains(reason), "{error}");
        }
    }
}
