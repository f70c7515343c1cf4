//! Answers as the surveys' services give them, with synthetic pixels. Shared with the tests of the
//! command.
#![allow(dead_code, reason = "the command's tests use a part of it")]

use fits_well::FitsWriter;
use fits_well::header::{Header, Value};
use fits_well::image::{Image, Scaling};
use fits_well::table::{Builder, ColumnData, WriteColumn};

fn header(cards: &[(&str, Value)]) -> Header {
    let mut header = Header::new();
    for (keyword, value) in cards {
        header.set(*keyword, value.clone()).expect("a card");
    }
    header
}

/// Cards of a tangential projection centred on a position.
fn sky((ra, dec): (f64, f64), side: usize, scale: f64) -> Vec<(&'static str, Value)> {
    let middle = (side as f64 + 1.0) / 2.0;
    vec![
        ("CTYPE1", "RA---TAN".into()),
        ("CTYPE2", "DEC--TAN".into()),
        ("CRVAL1", ra.into()),
        ("CRVAL2", dec.into()),
        ("CRPIX1", middle.into()),
        ("CRPIX2", middle.into()),
        ("CD1_1", (-scale / 3600.0).into()),
        ("CD1_2", 0.0.into()),
        ("CD2_1", 0.0.into()),
        ("CD2_2", (scale / 3600.0).into()),
    ]
}

/// The viewer's cutout: four bands of `value`, and their inverse variances.
pub fn legacy(position: (f64, f64), value: f32) -> Vec<u8> {
    const SIDE: usize = 160;
    let mut writer = FitsWriter::new(Vec::new());
    let mut cards = sky(position, SIDE, 0.262);
    cards.push(("BANDS", "griz".into()));
    cards.push(("IMAGETYP", "IMAGE".into()));
    cards.push(("SURVEY", "LegacySurvey".into()));
    let shape = [SIDE, SIDE, 4];
    let pixels = SIDE * SIDE * 4;
    let mut write = |cards: &[(&str, Value)], value: f32| {
        let image = Image::new(shape.to_vec(), vec![value; pixels], Scaling::IDENTITY);
        let image = image.expect("an image");
        let cards = header(cards);
        writer
            .write_image(image.view(), Some(&cards))
            .expect("written");
    };
    write(&cards, value);
    let last = cards.len() - 2;
    cards[last].1 = "INVVAR".into();
    write(&cards, 100.0);
    writer.into_inner()
}

/// A cutout of HSC's archive: an empty primary HDU with the zero point, image, mask and variance.
pub fn hsc(position: (f64, f64), filter: &str) -> Vec<u8> {
    const SIDE: usize = 160;
    let mut writer = FitsWriter::new(Vec::new());
    let first = [
        ("FLUXMAG0", Value::from(63095734448.0194)),
        ("FILTER", filter.into()),
    ];
    writer
        .write_empty_primary(Some(&header(&first)))
        .expect("written");
    for (name, value) in [("IMAGE", 0.5f32), ("MASK", 0.0), ("VARIANCE", 0.01)] {
        let mut cards = sky(position, SIDE, 0.168);
        cards.push(("EXTNAME", name.into()));
        let shape = vec![SIDE, SIDE];
        let cards = header(&cards);
        if name == "MASK" {
            let image = Image::new(shape, vec![0i32; SIDE * SIDE], Scaling::IDENTITY);
            let image = image.expect("an image");
            writer
                .write_image(image.view(), Some(&cards))
                .expect("written");
        } else {
            let image = Image::new(shape, vec![value; SIDE * SIDE], Scaling::IDENTITY);
            let image = image.expect("an image");
            writer
                .write_image(image.view(), Some(&cards))
                .expect("written");
        }
    }
    writer.into_inner()
}

fn column<T>(name: &str, values: Vec<T>) -> WriteColumn
where
    ColumnData: From<Vec<T>>,
{
    WriteColumn::scalar(name, ColumnData::from(values))
}

fn words(name: &str, value: &str) -> WriteColumn {
    WriteColumn::characters(name, [value], 12).expect("a column")
}

fn table(writer: &mut FitsWriter<Vec<u8>>, columns: Vec<WriteColumn>) {
    let mut table = Builder::new();
    for column in columns {
        table.push(column).expect("a column");
    }
    writer.write_table(&table, None).expect("written");
}

/// A lite spectrum file of SDSS.
pub fn sdss((plate, mjd, fiber): (i32, i32, i32), (ra, dec): (f64, f64)) -> Vec<u8> {
    const PIXELS: usize = 3800;
    let mut writer = FitsWriter::new(Vec::new());
    writer.write_empty_primary(None).expect("written");
    let loglam: Vec<f32> = (0..PIXELS).map(|i| 3.58 + 1e-4 * i as f32).collect();
    table(
        &mut writer,
        vec![
            column("flux", vec![2.0f32; PIXELS]),
            column("loglam", loglam),
            column("ivar", vec![4.0f32; PIXELS]),
            column("and_mask", vec![0i32; PIXELS]),
        ],
    );
    table(
        &mut writer,
        vec![
            column("PLATE", vec![plate]),
            column("MJD", vec![mjd]),
            column("FIBERID", vec![fiber]),
            column("PLUG_RA", vec![ra]),
            column("PLUG_DEC", vec![dec]),
            column("Z", vec![0.125f32]),
            column("ZWARNING", vec![0i32]),
            words("CLASS", "GALAXY"),
            words("SUBCLASS", ""),
        ],
    );
    writer.into_inner()
}

/// SkyServer's answer in CSV, which begins with a line that is no header.
pub fn skyserver(rows: &str) -> String {
    format!("#Table1\nplate,mjd,fiberID,run2d,ra,dec\n{rows}")
}

/// A source of Gaia's table.
pub fn gaia_source(id: u64, (ra, dec): (f64, f64), has_xp: &str) -> String {
    format!(
        "source_id,ra,dec,parallax,phot_g_mean_flux,phot_bp_mean_flux,phot_rp_mean_flux,\
         has_xp_continuous\n{id},{ra},{dec},7.5,1000.5,400.25,700.75,{has_xp}\n"
    )
}

/// DataLink's row of XP coefficients; the cells are tuples, and there are columns in common with the
/// table of sources.
pub fn gaia_xp(id: u64) -> String {
    let tuple = |scale: f64| {
        let values: Vec<String> = (1..=55)
            .map(|n| format!("{}", scale / f64::from(n)))
            .collect();
        format!("\"({})\"", values.join(", "))
    };
    format!(
        "source_id,solution_id,bp_n_parameters,bp_coefficients,rp_n_parameters,rp_coefficients\n\
         {id},4545469030156206080,55,{},55,{}\n",
        tuple(100.0),
        tuple(200.0)
    )
}

/// SPARCL's answer to `find`: a header, then spectra as (identifier, ra, dec, primary).
pub fn sparcl_found(spectra: &[(&str, f64, f64, bool)]) -> String {
    let mut records = vec!["{\"status\": {\"warnings\": []}}".to_owned()];
    records.extend(spectra.iter().map(|(id, ra, dec, primary)| {
        format!(
            "{{\"_dr\": \"DESI-DR1\", \"sparcl_id\": \"{id}\", \"ra\": {ra}, \"dec\": {dec}, \
             \"specprimary\": {primary}}}"
        )
    }));
    format!("[{}]", records.join(", "))
}

/// SPARCL's answer to `spectras` for one spectrum on DESI's grid.
pub fn sparcl_spectrum(target: i64, (ra, dec): (f64, f64), warning: i64) -> String {
    const PIXELS: usize = 7781;
    let list = |value: &dyn Fn(usize) -> String| {
        let values: Vec<String> = (0..PIXELS).map(value).collect();
        format!("[{}]", values.join(","))
    };
    format!(
        "[{{\"status\": {{}}}}, {{\"_dr\": \"DESI-DR1\", \"specid\": {target}, \"ra\": {ra}, \
         \"dec\": {dec}, \"redshift\": 0.25, \"redshift_warning\": {warning}, \
         \"spectype\": \"GALAXY\", \"flux\": {}, \"ivar\": {}, \"mask\": {}, \"wavelength\": {}}}]",
        list(&|i| format!("{}", 1.0 + i as f64 / 1000.0)),
        list(&|i| if i == 0 { "0.0".into() } else { "4.0".into() }),
        list(&|i| if i == 1 { "8".into() } else { "0".into() }),
        list(&|i| format!("{:.1}", 3600.0 + 0.8 * i as f64)),
    )
}

/// An HTML page, as gateways answer with status 200 when the service behind is down.
pub const PAGE: &str = "<!DOCTYPE html>\n<html><head><title>Service temporarily down</title></head>\
                        <body>Please come back later</body></html>";

/// A TAP service's error document.
pub const TAP_ERROR: &str = "<?xml version=\"1.0\"?><VOTABLE version=\"1.4\"><RESOURCE \
    type=\"results\"><INFO name=\"QUERY_STATUS\" value=\"ERROR\">Cannot parse query</INFO>\
    </RESOURCE></VOTABLE>";
