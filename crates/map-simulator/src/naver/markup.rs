//! Titles as local search writes them: what was searched in bold, the rest as HTML.

use super::xml::escape;
use crate::gazetteer::compact;

/// `title` in HTML, with `<b>` around what matches `query` as a whole, or else each of its words.
pub(super) fn highlight(title: &str, query: &str) -> String {
    let letters: Vec<(char, String)> = title
        .chars()
        .map(|letter| (letter, compact(&letter.to_string())))
        .collect();
    let mut is_bold = vec![false; letters.len()];
    if !mark(&letters, &compact(query), &mut is_bold) {
        for word in query.split_whitespace() {
            mark(&letters, &compact(word), &mut is_bold);
        }
    }
    let mut html = String::new();
    let mut was_bold = false;
    for ((letter, _), bold) in letters.iter().zip(is_bold) {
        if bold != was_bold {
            html.push_str(if bold { "<b>" } else { "</b>" });
            was_bold = bold;
        }
        html.push_str(&escape(&letter.to_string()));
    }
    if was_bold {
        html.push_str("</b>");
    }
    html
}

/// Marks the letters of every occurrence of `key`, over blanks; tells whether there was any.
fn mark(letters: &[(char, String)], key: &str, is_bold: &mut [bool]) -> bool {
    let mut found = false;
    if key.is_empty() {
        return found;
    }
    for start in 0..letters.len() {
        // A blank matches nothing, so it must not open an occurrence.
        if letters[start].1.is_empty() {
            continue;
        }
        let mut rest = key;
        for (end, (_, letter)) in letters.iter().enumerate().skip(start) {
            let Some(shorter) = rest.strip_prefix(&**letter) else {
                break;
            };
            rest = shorter;
            if rest.is_empty() {
                is_bold[start..=end].fill(true);
                found = true;
                break;
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_was_searched_is_bold() {
        for (title, query, html) in [
            ("장은빌딩", "장은빌딩", "<b>장은빌딩</b>"),
            (
                "방이 장은약국 & 건강원",
                "장은",
                "방이 <b>장은</b>약국 &amp; 건강원",
            ),
            ("롯데월드타워", "롯데 타워", "<b>롯데</b>월드<b>타워</b>"),
            ("더현대 서울", "더현대서울", "<b>더현대 서울</b>"),
            ("H&M 명동눈스퀘어점", "h&m", "<b>H&amp;M</b> 명동눈스퀘어점"),
            ("강남역", "역삼동", "강남역"),
            ("강남역", " ", "강남역"),
        ] {
            assert_eq!(highlight(title, query), html, "{query}");
        }
    }

    proptest! {
        #[test]
        fn without_markup_and_entities_it_is_the_title(
            title in "[가-각&<>\" b]{0,12}", query in "[가-각& b]{0,4}",
        ) {
            let html = highlight(&title, &query);
            let text = html.replace("<b>", "").replace("</b>", "");
            let text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"");
            prop_assert_eq!(text.replace("&amp;", "&"), title);
        }
    }
}
