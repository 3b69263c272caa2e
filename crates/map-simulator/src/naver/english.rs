//! Addresses in Latin letters, by the Revised Romanization of Korean.

/// Generic endings of names of regions and roads, which follow a hyphen; longer ones first.
const SUFFIXES: [(&str, &str); 11] = [
    ("대로", "daero"),
    ("번길", "beon-gil"),
    ("로", "ro"),
    ("길", "gil"),
    ("시", "si"),
    ("군", "gun"),
    ("구", "gu"),
    ("읍", "eup"),
    ("면", "myeon"),
    ("동", "dong"),
    ("리", "ri"),
];

const INITIALS: [&str; 19] = [
    "g", "kk", "n", "d", "tt", "r", "m", "b", "pp", "s", "ss", "", "j", "jj", "ch", "k", "t", "p",
    "h",
];
const VOWELS: [&str; 21] = [
    "a", "ae", "ya", "yae", "eo", "e", "yeo", "ye", "o", "wa", "wae", "oe", "yo", "u", "wo", "we",
    "wi", "yu", "eu", "ui", "i",
];
/// How a final is heard at the end of a word.
const FINALS: [&str; 28] = [
    "", "k", "k", "k", "n", "n", "n", "t", "l", "k", "m", "l", "l", "l", "p", "l", "m", "p", "p",
    "t", "t", "ng", "t", "t", "k", "t", "p", "t",
];
/// How a final is heard when a vowel follows, which takes it over.
const LINKED: [&str; 28] = [
    "", "g", "kk", "ks", "n", "nj", "n", "d", "r", "lg", "lm", "lb", "ls", "lt", "lp", "r", "m",
    "b", "ps", "s", "ss", "ng", "j", "ch", "k", "t", "p", "",
];
const N: usize = 2;
const R: usize = 5;
const M: usize = 6;
const SILENT: usize = 11;

/// `parts` from the narrowest to the widest, then the province and the country.
pub(super) fn address(parts: &[&str], sido: &str) -> String {
    let mut words: Vec<String> = Vec::new();
    for part in parts.iter().filter(|part| !part.is_empty()) {
        if let Some(number) = part.strip_prefix("지하 ") {
            words.push(format!("Underground {number}"));
            continue;
        }
        // The wider of two words follows: 성남시 분당구 is Bundang-gu, Seongnam-si.
        words.extend(part.split(' ').rev().map(name));
    }
    words.push(sido.to_owned());
    words.push("Republic of Korea".to_owned());
    words.join(", ")
}

/// One name: a capital letter in front, its generic ending behind a hyphen.
fn name(korean: &str) -> String {
    if let Some((road, branch)) = split_branch(korean) {
        return format!("{} {branch}", name(road));
    }
    for (suffix, latin) in SUFFIXES {
        if let Some(stem) = korean.strip_suffix(suffix).filter(|stem| !stem.is_empty()) {
            return format!("{}-{latin}", capital(&romanize(stem)));
        }
    }
    capital(&romanize(korean))
}

/// `세종대로110길` is the road 세종대로 with the branch `110-gil`.
fn split_branch(korean: &str) -> Option<(&str, String)> {
    let (stem, kind) = [("번길", "beon-gil"), ("길", "-gil")]
        .into_iter()
        .find_map(|(suffix, latin)| Some((korean.strip_suffix(suffix)?, latin)))?;
    let road = stem.trim_end_matches(|letter: char| letter.is_ascii_digit());
    let number = &stem[road.len()..];
    (!number.is_empty() && !road.is_empty()).then(|| (road, format!("{number}{kind}")))
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters
        .next()
        .map(|first| first.to_uppercase().chain(letters).collect())
        .unwrap_or_default()
}

/// A syllable's initial, vowel and final, by their numbers in Unicode.
fn jamo(letter: char) -> Option<(usize, usize, usize)> {
    let index = u32::from(letter)
        .checked_sub(0xAC00)
        .filter(|index| *index < 11_172)?;
    let index = usize::try_from(index).ok()?;
    Some((index / 588, index % 588 / 28, index % 28))
}

/// Hangul by its sound; other letters stay.
fn romanize(korean: &str) -> String {
    let letters: Vec<char> = korean.chars().collect();
    let mut text = String::new();
    let mut before = 0;
    for (index, letter) in letters.iter().enumerate() {
        let Some((initial, vowel, last)) = jamo(*letter) else {
            text.push(*letter);
            before = 0;
            continue;
        };
        text.push_str(initial_sound(before, initial));
        text.push_str(VOWELS[vowel]);
        let next = letters.get(index + 1).copied().and_then(jamo);
        text.push_str(final_sound(last, next.map(|(initial, ..)| initial)));
        before = last;
    }
    text
}

/// The sound of an initial behind the final `before`.
fn initial_sound(before: usize, initial: usize) -> &'static str {
    match (FINALS[before], initial) {
        ("l", R | N) | ("n", R) => "l",
        ("k" | "p" | "t" | "m" | "ng", R) => "n",
        _ => INITIALS[initial],
    }
}

/// The sound of a final in front of the initial `next`.
fn final_sound(last: usize, next: Option<usize>) -> &'static str {
    match (FINALS[last], next) {
        (_, Some(SILENT)) => LINKED[last],
        ("k", Some(N | M | R)) => "ng",
        ("p", Some(N | M | R)) => "m",
        ("t", Some(N | M | R)) => "n",
        ("n", Some(R)) => "l",
        (sound, _) => sound,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_romanized_as_on_road_signs() {
        for (korean, latin) in [
            ("위례성대로", "Wiryeseong-daero"),
            ("두물머리길", "Dumulmeori-gil"),
            ("테헤란로", "Teheran-ro"),
            ("백범로", "Baekbeom-ro"),
            ("세종대로110길", "Sejong-daero 110-gil"),
            ("대종로480번길", "Daejong-ro 480beon-gil"),
            ("종로", "Jong-ro"),
            ("양서면", "Yangseo-myeon"),
            ("송파구", "Songpa-gu"),
            ("신라", "Silla"),
            ("왕십리", "Wangsip-ri"),
            ("독립문", "Dongnimmun"),
            ("울릉군", "Ulleung-gun"),
            ("석유", "Seogyu"),
            ("APEC로", "APEC-ro"),
            ("63로", "63-ro"),
        ] {
            assert_eq!(name(korean), latin, "{korean}");
        }
    }

    #[test]
    fn an_address_goes_from_narrow_to_wide() {
        assert_eq!(
            address(&["6", "불정로", "", "성남시 분당구"], "Gyeonggi-do"),
            "6, Buljeong-ro, Bundang-gu, Seongnam-si, Gyeonggi-do, Republic of Korea"
        );
        assert_eq!(
            address(&["지하 396", "강남대로", "", "강남구"], "Seoul"),
            "Underground 396, Gangnam-daero, Gangnam-gu, Seoul, Republic of Korea"
        );
    }
}
