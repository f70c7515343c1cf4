//! VOTables: what services answer, good and bad.

use std::path::PathBuf;

use aion_data::Problem;
use aion_data::reader::ReadOptions;

use crate::fixtures::{Folder, error, expect_error, gzipped, objects, results, scalar};

fn document(content: &str) -> String {
    format!(
        "<?xml version='1.0'?>\n<VOTABLE version='1.4'><RESOURCE>{content}</RESOURCE></VOTABLE>"
    )
}

fn table(fields: &str, data: &str) -> String {
    format!("<TABLE>{fields}<DATA>{data}</DATA></TABLE>")
}

const FIELDS: &str = "<FIELD name='source_id' datatype='long'/>\
                      <FIELD name='parallax' datatype='double' unit='mas'/>";

fn rows(rows: &str) -> String {
    document(&table(FIELDS, &format!("<TABLEDATA>{rows}</TABLEDATA>")))
}

/// Base64 of the bytes.
fn encoded(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |group: &[u8]| {
        let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        let digit = |at: usize| match at <= group.len() {
            true => char::from(DIGITS[(bits >> (18 - 6 * at) & 63) as usize]),
            false => '=',
        };
        (0..4).map(digit).collect::<String>()
    };
    bytes.chunks(3).map(group).collect::<Vec<_>>().join("\n")
}

fn stream(kind: &str, fields: &str, bytes: &[u8]) -> String {
    let text = encoded(bytes);
    let data = format!("<{kind}><STREAM encoding='base64'>{text}</STREAM></{kind}>");
    document(&table(fields, &data))
}

#[test]
fn the_first_table_with_a_recognised_column_is_read() {
    let folder = Folder::new();
    let other = "<FIELD name='night' datatype='int'/>";
    let skipped = table(
        other,
        &format!(
            "<BINARY><STREAM encoding='base64'>{}</STREAM></BINARY>",
            encoded(&[0; 8])
        ),
    );
    let wanted = table(
        FIELDS,
        "<TABLEDATA><TR><TD>5</TD><TD>1.5</TD></TR></TABLEDATA>",
    );
    let text = document(&(skipped.clone() + &table(other, "<TABLEDATA/>") + &wanted));
    let path = folder.write("a.vot", &text);
    let read = objects(&path);
    assert_eq!(
        (read[0].id.as_str(), scalar(&read[0], "tok_parallax")),
        ("5", Some(1.5))
    );
    assert_eq!(
        objects(&folder.write("a.vot.gz", gzipped(text.as_bytes()))),
        read
    );
    let text = format!(
        "\u{feff}\n<!-- from a service -->\n{}",
        rows("<TR><TD>5</TD><TD>1.5</TD></TR>").replace("<?xml version='1.0'?>\n", "")
    );
    assert_eq!(objects(&folder.write("b.xml", text)), read);
    expect_error(
        &folder.write("c.vot", document(&skipped)),
        &["no recognised column among night"],
    );
}

#[test]
fn a_bad_row_spoils_its_object_only() {
    let folder = Folder::new();
    let text = rows(
        "<TR><TD>1</TD><TD>&#49;.5</TD></TR><TR><TD>2</TD><TD>high</TD></TR><TR><TD>3</TD></TR>\
         <TR/><TR><TD><![CDATA[4]]></TD><TD><!-- none -->-1</TD></TR><TR><TD>5</TD><TD/></TR>",
    );
    let read = results(&folder.write("a.vot", text), &ReadOptions::default());
    let outcome: Vec<bool> = read.iter().map(Result::is_ok).collect();
    assert_eq!(outcome, [true, false, false, false, true, false]);
    assert_eq!(scalar(read[0].as_ref().unwrap(), "tok_parallax"), Some(1.5));
    let message = |row: usize| read[row].as_ref().unwrap_err().to_string();
    for part in ["row 2", "field parallax", "`high` is no number"] {
        assert!(message(1).contains(part), "{}", message(1));
    }
    assert!(message(2).contains("row 3") && message(2).contains("1 cells, expected 2"));
    assert!(message(5).contains("object 5") && message(5).contains("empty"));
}

#[test]
fn units_and_nulls_are_used() {
    let folder = Folder::new();
    let fields = FIELDS.replace("'mas'/>", "'arcsec'><VALUES null='-1'/></FIELD>");
    let data =
        "<TABLEDATA><TR><TD>1</TD><TD>0.002</TD></TR><TR><TD>2</TD><TD>-1</TD></TR></TABLEDATA>";
    let path = folder.write("a.vot", document(&table(&fields, data)));
    let read = results(&path, &ReadOptions::default());
    assert_eq!(scalar(read[0].as_ref().unwrap(), "tok_parallax"), Some(2.0));
    assert!(read[1].is_err(), "null");
    let wrong = table(&FIELDS.replace("'mas'", "'mag'"), data);
    let path = folder.write("b.vot", document(&wrong));
    expect_error(
        &path,
        &["field parallax", "the unit is `mag`, expected mas"],
    );
}

#[test]
fn binary_rows_are_read_with_masks_and_arrays() {
    let folder = Folder::new();
    let fields = "<FIELD name='object_id' datatype='char' arraysize='*'/>\
                  <FIELD name='pair' datatype='float' arraysize='2x*'/>\
                  <FIELD name='CLASS' datatype='unicodeChar' arraysize='4'/>\
                  <FIELD name='duplicated_source' datatype='boolean'/>\
                  <FIELD name='parallax' datatype='float'/>";
    let row = |id: &[u8], flag: u8, parallax: f32| {
        let mut bytes = (id.len() as i32).to_be_bytes().to_vec();
        bytes.extend_from_slice(id);
        bytes.extend_from_slice(&1i32.to_be_bytes());
        bytes.extend_from_slice(&[0; 8]);
        bytes.extend("STAR".encode_utf16().flat_map(u16::to_be_bytes));
        bytes.push(flag);
        bytes.extend_from_slice(&parallax.to_be_bytes());
        bytes
    };
    let plain = [row(b"a", b'T', 1.5), row(b"long name\0", b'?', 2.5)].concat();
    let path = folder.write("a.vot", stream("BINARY", fields, &plain));
    let read = objects(&path);
    assert_eq!(
        (read[0].id.as_str(), read[1].id.as_str()),
        ("a", "long name")
    );
    assert_eq!(read[0].flags["CLASS"], "STAR");
    assert_eq!(read[0].flags["duplicated_source"], "true");
    assert!(!read[1].flags.contains_key("duplicated_source"));
    assert_eq!(scalar(&read[1], "tok_parallax"), Some(2.5));

    let mask = |bits: u8, row: Vec<u8>| [vec![bits], row].concat();
    let masked = [
        mask(0, row(b"a", b'F', 1.5)),
        mask(0b1000_1000, row(b"b", b'F', 2.5)),
    ]
    .concat();
    let path = folder.write("b.vot", stream("BINARY2", fields, &masked));
    let read = results(&path, &ReadOptions::default());
    assert_eq!(scalar(read[0].as_ref().unwrap(), "tok_parallax"), Some(1.5));
    let null = read[1].as_ref().unwrap_err().to_string();
    assert!(
        null.contains("object 2") && null.contains("empty"),
        "{null}"
    );
}

#[test]
fn damaged_binary_rows_end_in_an_error() {
    let folder = Folder::new();
    let fields =
        "<FIELD name='id' datatype='int'/><FIELD name='EBV' datatype='double' arraysize='*'/>";
    let row = |length: i32| [&7i32.to_be_bytes()[..], &length.to_be_bytes()].concat();
    for (bytes, reason) in [
        (row(-1), "negative length"),
        (row(i32::MAX), "a cell of"),
        (row(3), "end in the middle"),
        (row(1)[..6].to_vec(), "end in the middle"),
    ] {
        let path = folder.write("a.vot", stream("BINARY", fields, &bytes));
        expect_error(&path, &["VOTable", reason]);
    }
    let text = stream("BINARY", fields, &row(0));
    for (from, to, reason) in [
        ("AAAA", "A!AA", "byte 0x21 is not base64"),
        ("</STREAM>", "<TR/></STREAM>", "hold other elements"),
        ("'base64'", "'gzip'", "encoding of its rows is gzip"),
        (
            " encoding='base64'",
            " href='http://x/rows.bin'",
            "elsewhere: http://x/rows.bin",
        ),
        ("BINARY>", "FITS>", "its rows are a FITS file"),
        (
            "'double' arraysize='*'",
            "'bit' arraysize='8'",
            "columns of several bits",
        ),
        ("'double'", "'doubleComplex'", "columns of complex numbers"),
        ("'double'", "'quad'", "datatype `quad`"),
        ("'*'", "'*x3'", "arraysize `*x3`"),
    ] {
        let path = folder.write("b.vot", text.replacen(from, to, 9));
        expect_error(&path, &[reason]);
    }
    let zero = "<FIELD name='EBV' datatype='double' arraysize='0'/>";
    expect_error(
        &folder.write("c.vot", stream("BINARY", zero, &[1])),
        &["rows of no bytes"],
    );
}

#[test]
fn answers_that_are_errors_are_passed_on() {
    let folder = Folder::new();
    let info = "<INFO name='QUERY_STATUS' value='ERROR'>no such table: gaia.sauce</INFO>";
    let refused = folder.write("a.vot", document(info));
    expect_error(
        &refused,
        &["the service answered with an error", "no such table"],
    );
    let rows = table(
        FIELDS,
        "<TABLEDATA><TR><TD>1</TD><TD>2</TD></TR></TABLEDATA>",
    );
    let failed = folder.write("b.vot", document(&(rows + info)));
    let read = results(&failed, &ReadOptions::default());
    assert!(read[0].is_ok() && read[1].is_err() && read.len() == 2);
}

#[test]
fn other_documents_are_refused() {
    let folder = Folder::new();
    for (text, reason) in [
        (
            "<html><body>503</body></html>",
            "XML with root `html`; expected a VOTable",
        ),
        (
            "<?xml version='1.0'?><VOTABLE>",
            "VOTable without a table of data",
        ),
        ("<VOTABLE><RESOURCE></VOTABLE>", "VOTable"),
        (&document(&table(FIELDS, "<TABLEDATA/>")), "no objects"),
        (
            &document("<TABLE><FIELD datatype='int'/></TABLE>"),
            "missing name of a column",
        ),
    ] {
        expect_error(&folder.write("a.xml", text), &[reason]);
    }
}

#[test]
fn an_identifier_of_real_numbers_is_refused() {
    let folder = Folder::new();
    let text = rows("<TR><TD>5.8e18</TD><TD>1</TD></TR>").replace("'long'", "'double'");
    let path: PathBuf = folder.write("a.vot", text);
    let error = error(&path);
    assert!(matches!(error.problem, Problem::Values(_)), "{error}");
    assert_eq!(error.place.field.as_deref(), Some("source_id"));
}
