//! Pieces of HTML: escaped text, tables, figures.

/// Text with the characters that HTML gives a meaning escaped.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// A table. Headings are text; cells are HTML.
pub fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let mut html = String::from("<div class=\"wide\"><table><thead><tr>");
    for heading in headings {
        html += &format!("<th>{}</th>", escape(heading));
    }
    html += "</tr></thead><tbody>\n";
    for row in rows {
        let cells: String = row.iter().map(|cell| format!("<td>{cell}</td>")).collect();
        html += &format!("<tr>{cells}</tr>\n");
    }
    html + "</tbody></table></div>\n"
}

/// A figure of some HTML with a caption, which is HTML too.
pub fn figure(content: &str, caption: &str) -> String {
    format!("<figure>{content}<figcaption>{caption}</figcaption></figure>\n")
}

/// The mark of what is simulated or real.
pub fn origin_mark(simulated: bool) -> &'static str {
    if simulated {
        "<span class=\"mark simulated\">simulated</span>"
    } else {
        "<span class=\"mark real\">real</span>"
    }
}

/// Markdown as far as model cards need it: headings, lists, tables and paragraphs; the front
/// matter is left out and everything else is text.
pub fn from_markdown(markdown: &str) -> String {
    let mut html = String::new();
    for block in blocks(markdown) {
        let first = block.first().copied().unwrap_or_default();
        if first.starts_with('#') {
            let heading = first.trim_start_matches('#').trim();
            html += &format!("<h4>{}</h4>\n", inline(heading));
            if block.len() > 1 {
                html += &format!("<p>{}</p>\n", inline(&block[1..].join(" ")));
            }
        } else if first.starts_with('|') {
            html += &markdown_table(&block);
        } else if is_item(first) {
            html += &format!("<ul>{}</ul>\n", items(&block));
        } else if first.starts_with("```") {
            let inner = block.iter().filter(|line| !line.starts_with("```"));
            let code: Vec<&str> = inner.copied().collect();
            html += &format!("<pre>{}</pre>\n", escape(&code.join("\n")));
        } else {
            html += &format!("<p>{}</p>\n", inline(&block.join(" ")));
        }
    }
    html
}

/// The first paragraph of a Markdown file, as plain text.
pub fn first_paragraph(markdown: &str) -> Option<String> {
    let plain = |line: &str| {
        let structure = |c: char| "#|-*`<".contains(c);
        !line.trim_start().starts_with(structure)
    };
    let paragraph = blocks(markdown)
        .into_iter()
        .find(|block| block.iter().all(|l| plain(l)))?;
    Some(paragraph.join(" ").replace(['`', '*'], ""))
}

/// Lines between empty ones, without the front matter.
fn blocks(markdown: &str) -> Vec<Vec<&str>> {
    let body = markdown
        .strip_prefix("---\n")
        .and_then(|rest| rest.split_once("\n---\n"))
        .map_or(markdown, |(_, body)| body);
    let lines: Vec<&str> = body.lines().collect();
    let blocks = lines.split(|line| line.trim().is_empty());
    blocks
        .filter(|block| !block.is_empty())
        .map(<[&str]>::to_vec)
        .collect()
}

fn is_item(line: &str) -> bool {
    ["- ", "* "]
        .iter()
        .any(|mark| line.trim_start().starts_with(mark))
}

fn items(block: &[&str]) -> String {
    let mut items: Vec<String> = Vec::new();
    for line in block {
        let text = line.trim();
        match (is_item(line), items.last_mut()) {
            (false, Some(item)) => *item = format!("{item} {text}"),
            _ => items.push(text.trim_start_matches(['-', '*']).trim().to_owned()),
        }
    }
    items
        .iter()
        .map(|item| format!("<li>{}</li>", inline(item)))
        .collect()
}

fn markdown_table(block: &[&str]) -> String {
    let cells = |line: &str| -> Vec<String> {
        let inner = line.trim().trim_matches('|');
        inner.split('|').map(|cell| inline(cell.trim())).collect()
    };
    let is_rule = |line: &str| line.chars().all(|c| "|-: ".contains(c));
    let mut lines = block.iter().filter(|line| !is_rule(line));
    let headings: String = lines
        .next()
        .map(|line| {
            cells(line)
                .iter()
                .map(|cell| format!("<th>{cell}</th>"))
                .collect()
        })
        .unwrap_or_default();
    let rows: String = lines
        .map(|line| {
            let row: String = cells(line)
                .iter()
                .map(|cell| format!("<td>{cell}</td>"))
                .collect();
            format!("<tr>{row}</tr>")
        })
        .collect();
    format!("<div class=\"wide\"><table><tr>{headings}</tr>{rows}</table></div>\n")
}

/// Text with `code` marked; other marks are taken out.
fn inline(text: &str) -> String {
    let parts = escape(&text.replace("**", ""));
    let pieces = parts.split('`').enumerate();
    let marked = pieces.map(|(i, piece)| match i % 2 {
        1 => format!("<code>{piece}</code>"),
        _ => piece.to_owned(),
    });
    marked.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CARD: &str = "---\nlicense: mit\n---\n# A model\n\nSmall, on **real** and `sim` data;\n\
                        two lines.\n\n- one\n  more\n- two <b>\n\n| a | b |\n|---|---|\n| 1 | 2 |\n";

    #[test]
    fn markdown_becomes_html() {
        let html = from_markdown(CARD);
        assert!(html.contains("<h4>A model</h4>") && html.contains("<code>sim</code>"));
        assert!(html.contains("<li>one more</li><li>two &lt;b&gt;</li>"));
        assert!(html.contains("<td>2</td>") && !html.contains("license"));
    }

    #[test]
    fn the_first_paragraph_is_plain() {
        let found = first_paragraph(CARD);
        assert_eq!(
            found.as_deref(),
            Some("Small, on real and sim data; two lines.")
        );
    }
}
