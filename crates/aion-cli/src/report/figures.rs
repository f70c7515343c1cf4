//! Which figures there are: only those for which there is data.

use anyhow::Result;

use crate::report::folder::Folder;
use crate::report::html::figure;
use crate::report::picture::{Picture, base64};
use crate::report::study::Study;
use crate::report::{object_figures, sample_figures};

/// Enlargement of pictures that are written as files.
const ENLARGEMENT: usize = 3;

/// Ground and text colour of a chart that stands alone in its file.
const ALONE: &str = "<style>svg{color:#2b333d}.ground{fill:#fff}\
    @media(prefers-color-scheme:dark){svg{color:#dbe1ea}.ground{fill:#1a2028}}</style>\
    <rect class=\"ground\" width=\"100%\" height=\"100%\"/>";

/// A picture or a chart.
#[derive(Debug, Clone)]
pub enum Drawing {
    /// An SVG element.
    Svg(String),
    /// Pixels.
    Picture(Picture),
}

/// A figure, in the page and as a file.
#[derive(Debug, Clone)]
pub struct Figure {
    /// The object it is about, by place; `None` for all.
    pub object: Option<usize>,
    /// Name of its file without the extension.
    pub name: String,
    /// What it shows, in HTML.
    pub caption: String,
    /// What is drawn.
    pub drawing: Drawing,
}

/// All figures.
#[derive(Debug, Clone, Default)]
pub struct Figures {
    /// Images, reconstructions, residuals.
    pub images: Vec<Figure>,
    /// Spectra and reconstructions.
    pub spectra: Vec<Figure>,
    /// Spectra predicted from images and numbers.
    pub predicted: Vec<Figure>,
    /// Redshift posteriors.
    pub posteriors: Vec<Figure>,
    /// Predicted over true values of all objects.
    pub scatters: Vec<Figure>,
    /// Images with their nearest neighbours.
    pub neighbours: Vec<Figure>,
}

impl Figure {
    /// The figure for the page.
    ///
    /// # Errors
    /// The picture cannot be encoded.
    pub fn html(&self) -> Result<String> {
        Ok(figure(&self.drawing.html()?, &self.caption))
    }

    /// Writes the figure's file.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, folder: &Folder) -> Result<()> {
        let (extension, bytes) = self.drawing.file()?;
        folder.write(&format!("figures/{}.{extension}", self.name), &bytes)
    }
}

impl Drawing {
    /// The drawing as a file of its own: extension and bytes.
    ///
    /// # Errors
    /// The picture cannot be encoded.
    pub fn file(&self) -> Result<(&'static str, Vec<u8>)> {
        Ok(match self {
            Drawing::Svg(svg) => {
                let svg = svg.replacen('>', &format!(">{ALONE}"), 1);
                ("svg", svg.into_bytes())
            }
            Drawing::Picture(picture) => ("png", picture.enlarged(ENLARGEMENT).png()?),
        })
    }

    /// The drawing inside a page.
    ///
    /// # Errors
    /// The picture cannot be encoded.
    pub fn html(&self) -> Result<String> {
        Ok(match self {
            Drawing::Svg(svg) => svg.clone(),
            Drawing::Picture(picture) => {
                let data = base64(&picture.png()?);
                format!("<img class=\"pixels\" alt=\"\" src=\"data:image/png;base64,{data}\">")
            }
        })
    }
}

impl Figures {
    /// Draws all figures.
    ///
    /// # Errors
    /// A chart cannot be drawn.
    pub fn draw(studies: &[Study]) -> Result<Figures> {
        let mut figures = Figures {
            scatters: sample_figures::scatters(studies)?,
            neighbours: sample_figures::neighbour_rows(studies),
            ..Figures::default()
        };
        for (place, study) in studies.iter().enumerate() {
            figures.images.extend(object_figures::images(place, study));
            figures
                .spectra
                .extend(object_figures::spectra(place, study)?);
            figures
                .predicted
                .extend(object_figures::predicted_spectra(place, study)?);
            figures
                .posteriors
                .extend(object_figures::posterior(place, study)?);
        }
        Ok(figures)
    }

    /// All of them, in the page's order.
    pub fn all(&self) -> impl Iterator<Item = &Figure> {
        let parts = [
            &self.images,
            &self.spectra,
            &self.predicted,
            &self.posteriors,
            &self.scatters,
            &self.neighbours,
        ];
        parts.into_iter().flatten()
    }
}
