//! Geocoding: from the text of an address to what it names, however coarse.

use std::borrow::Cow;

use super::region::{Depth, same_region, same_road};
use super::text::{compact, compact_address, continues_number};
use super::{Gazetteer, Place};

/// What an address names, finest first.
#[derive(Clone, Debug)]
pub(crate) enum AddressHit<'a> {
    /// A building by its number along the road, its name in its region, or its postal code.
    Building {
        place: &'a Place,
        /// What the address goes on with, such as floor and unit.
        remainder: String,
    },
    /// A piece of land by its number.
    Lot {
        place: &'a Place,
        /// What the address goes on with.
        remainder: String,
    },
    /// A road without a number.
    Road {
        /// One of the places along it.
        place: &'a Place,
    },
    /// A region without road or lot.
    Region {
        /// One of the places in it.
        place: &'a Place,
        depth: Depth,
    },
}

impl<'a> AddressHit<'a> {
    pub(crate) fn place(&self) -> &'a Place {
        match self {
            Self::Building { place, .. }
            | Self::Lot { place, .. }
            | Self::Road { place }
            | Self::Region { place, .. } => place,
        }
    }

    /// Whether `place` has the very address that was named, be it alone there or with others.
    pub(super) fn is_address_of(&self, place: &Place) -> bool {
        match self {
            Self::Building { place: hit, .. } => {
                place.road.is_some()
                    && hit.road_address(&hit.sido) == place.road_address(&place.sido)
            }
            Self::Lot { place: hit, .. } => {
                hit.lot_address(&hit.sido) == place.lot_address(&place.sido)
            }
            Self::Road { .. } | Self::Region { .. } => false,
        }
    }

    fn names_the_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Building { .. }, Self::Building { place, .. })
            | (Self::Lot { .. }, Self::Lot { place, .. }) => self.is_address_of(place),
            (Self::Road { place: a }, Self::Road { place: b }) => same_road(a, b),
            (
                Self::Region { place: a, depth },
                Self::Region {
                    place: b,
                    depth: other,
                },
            ) => depth == other && same_region(a, b, *depth),
            _ => false,
        }
    }
}

impl Gazetteer {
    /// What `query` names as an address, in the gazetteer's order.
    ///
    /// Numbers are looked for first; only without any, roads and regions are. Leading regions may
    /// be left out, provinces may have their short or a former name.
    pub(crate) fn resolve(&self, query: &str) -> Vec<AddressHit<'_>> {
        let query = Query::new(query);
        if query.key.is_empty() {
            return Vec::new();
        }
        let fine = self.collect(|place| self.numbered(place, &query));
        if !fine.is_empty() {
            return fine;
        }
        let mut coarse = self.collect(|place| self.along_road(place, &query));
        // A road is answered with the region that was named in front of it.
        coarse.extend(self.collect(|place| self.region(place, &query)));
        coarse
    }

    fn collect<'a>(
        &'a self,
        hit_of: impl Fn(&'a Place) -> Option<AddressHit<'a>>,
    ) -> Vec<AddressHit<'a>> {
        let mut hits: Vec<AddressHit<'a>> = Vec::new();
        for hit in self.places().iter().filter_map(hit_of) {
            if !hits.iter().any(|known| known.names_the_same(&hit)) {
                hits.push(hit);
            }
        }
        hits
    }

    fn numbered<'a>(&self, place: &'a Place, query: &Query) -> Option<AddressHit<'a>> {
        let regions = self.regions_of(place);
        let rests = rests(&query.key, &regions);
        let building = |rest: &str| AddressHit::Building {
            place,
            remainder: query.remainder(without(rest, &compact(&place.building))),
        };
        if let Some(road) = &place.road {
            let number = compact(&format!("{}{}", road.name, road.number()));
            let mut tails = rests
                .iter()
                .filter_map(|rest| building_tail(rest.text, &number));
            if let Some(tail) = tails.next() {
                return Some(building(tail));
            }
            let name = compact(&place.building);
            let named = |rest: &Rest<'_>| rest.depth.is_some() && rest.text == name;
            if query.key == place.zip || (!name.is_empty() && rests.iter().any(named)) {
                return Some(building(""));
            }
        }
        let leaf = if place.is_rural() {
            &place.ri
        } else {
            &place.legal_dong
        };
        let number = compact(&format!("{leaf}{}", place.lot.number()));
        let tail = rests
            .iter()
            .find_map(|rest| numbered_tail(rest.text, &number))?;
        let tail = tail.strip_prefix("번지").unwrap_or(tail);
        Some(AddressHit::Lot {
            place,
            remainder: query.remainder(without(tail, &compact(&place.building))),
        })
    }

    fn along_road<'a>(&self, place: &'a Place, query: &Query) -> Option<AddressHit<'a>> {
        let name = compact(&place.road.as_ref()?.name);
        let regions = self.regions_of(place);
        let is_road = rests(&query.key, &regions)
            .iter()
            .any(|rest| rest.text == name);
        is_road.then_some(AddressHit::Road { place })
    }

    fn region<'a>(&self, place: &'a Place, query: &Query) -> Option<AddressHit<'a>> {
        let regions = self.regions_of(place);
        let road = place.road.as_ref().map(|road| compact(&road.name));
        rests(&query.key, &regions)
            .into_iter()
            .filter(|rest| rest.text.is_empty() || road.as_deref() == Some(rest.text))
            .filter_map(|rest| rest.depth)
            .max()
            .map(|depth| AddressHit::Region { place, depth })
    }

    /// The regions that may stand in front of the numbers of `place`, with all their spellings.
    fn regions_of(&self, place: &Place) -> Vec<(Depth, Vec<String>)> {
        let sido = self.sido(place);
        let mut spellings = vec![sido.name.clone()];
        spellings.extend(sido.former.iter().cloned());
        // The short form last: it is the beginning of some full ones.
        spellings.push(sido.short.clone());
        let mut regions = vec![(Depth::Sido, spellings)];
        for word in place.sigungu.split_whitespace() {
            regions.push((Depth::Sigungu, vec![word.to_owned()]));
        }
        regions.push((Depth::Dong, vec![place.dong().to_owned()]));
        if !place.ri.is_empty() {
            regions.push((Depth::Ri, vec![place.ri.clone()]));
        }
        regions
    }
}

/// An address as it was typed.
struct Query<'a> {
    /// Compacted, without what stands in parentheses at its end.
    key: String,
    parenthesis: Cow<'a, str>,
}

impl<'a> Query<'a> {
    fn new(text: &'a str) -> Self {
        let text = text.trim();
        let (address, parenthesis) = match text.split_once('(') {
            Some((address, rest)) => (address, rest.trim_end_matches(')').trim()),
            None => (text, ""),
        };
        Self {
            key: compact_address(address),
            parenthesis: Cow::Borrowed(parenthesis),
        }
    }

    fn remainder(&self, tail: &str) -> String {
        super::place::join([tail.trim_start(), &self.parenthesis])
    }
}

/// What is left of a query behind regions.
#[derive(Debug)]
struct Rest<'q> {
    text: &'q str,
    /// The deepest region that was named.
    depth: Option<Depth>,
}

/// Every way to read leading regions off `key`: each may be named or left out, in their order.
fn rests<'q>(key: &'q str, regions: &[(Depth, Vec<String>)]) -> Vec<Rest<'q>> {
    let mut rests = vec![Rest {
        text: key,
        depth: None,
    }];
    for (depth, spellings) in regions {
        let behind: Vec<Rest<'q>> = rests
            .iter()
            .flat_map(|rest| {
                spellings
                    .iter()
                    .filter_map(|name| rest.text.strip_prefix(&**name))
            })
            .map(|text| Rest {
                text,
                depth: Some(*depth),
            })
            .collect();
        rests.extend(behind);
    }
    rests
}

/// What follows `number` at the beginning of `text`, unless the number goes on.
fn numbered_tail<'q>(text: &'q str, number: &str) -> Option<&'q str> {
    text.strip_prefix(number)
        .filter(|tail| !continues_number(tail))
}

/// As [`numbered_tail`], but `종로 1` is not found in `종로1가 54`, nor `세종대로 110` in `세종대로110길 8`.
fn building_tail<'q>(text: &'q str, number: &str) -> Option<&'q str> {
    let names_more = |tail: &str| {
        ["길", "번길", "가"].iter().any(|word| {
            tail.strip_prefix(word)
                .is_some_and(|rest| rest.starts_with(|letter: char| letter.is_ascii_digit()))
        })
    };
    numbered_tail(text, number).filter(|tail| !names_more(tail))
}

fn without<'t>(text: &'t str, name: &str) -> &'t str {
    text.strip_prefix(name).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(query: &str) -> Vec<String> {
        let gazetteer = Gazetteer::embedded();
        let hits = gazetteer.resolve(query);
        let tell = |hit: &AddressHit<'_>| match hit {
            AddressHit::Building { place, remainder } => {
                format!("building {} {remainder}", place.name)
            }
            AddressHit::Lot { place, remainder } => format!("lot {} {remainder}", place.name),
            AddressHit::Road { place } => format!("road {}", place.road.as_ref().unwrap().name),
            AddressHit::Region { place, depth } => format!("{depth:?} {}", place.sigungu),
        };
        hits.iter()
            .map(|hit| tell(hit).trim_end().to_owned())
            .collect()
    }

    #[test]
    fn every_address_resolves_to_itself_in_every_spelling() {
        let gazetteer = Gazetteer::embedded();
        for place in gazetteer.places() {
            let sido = gazetteer.sido(place);
            let spellings = [&sido.name, &sido.short].into_iter().chain(&sido.former);
            for form in spellings {
                let road = place.road_address(form);
                for query in road.into_iter().chain([place.lot_address(form)]) {
                    let hits = gazetteer.resolve(&query);
                    assert!(
                        hits.len() == 1 && hits[0].is_address_of(place),
                        "{query}: {hits:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn one_building_is_told_once() {
        assert_eq!(
            told("서울 강남구 테헤란로 152"),
            ["building 강남파이낸스센터"]
        );
        assert_eq!(told("테헤란로152"), ["building 강남파이낸스센터"]);
    }

    #[test]
    fn floor_and_parenthesis_are_a_remainder() {
        assert_eq!(
            told("서울특별시 강남구 테헤란로 152 22층 (역삼동)"),
            ["building 강남파이낸스센터 22층 역삼동"]
        );
        assert_eq!(
            told("역삼동 737번지 강남파이낸스센터"),
            ["lot 강남파이낸스센터"]
        );
    }

    #[test]
    fn a_building_is_known_by_name_only_behind_its_region() {
        assert_eq!(told("송파구 롯데월드타워"), ["building 롯데월드타워"]);
        assert!(told("롯데월드타워").is_empty());
    }

    #[test]
    fn numbers_are_whole_and_underground_is_another_number() {
        assert!(told("강남구 강남대로 396").is_empty());
        assert_eq!(told("강남구 강남대로 지하 396"), ["building 강남역"]);
        assert_eq!(told("부산 사하구 감내2로 203"), ["building 감천문화마을"]);
        assert!(told("부산 사하구 감내2로 20").is_empty());
        assert_eq!(told("종로1가 1"), ["lot 교보문고 광화문점"]);
        assert_eq!(told("울릉읍 독도리 산30-2"), ["lot 독도경비대"]);
        assert!(told("울릉읍 독도리 30-2").is_empty());
    }

    #[test]
    fn roads_and_regions_are_coarse_hits() {
        assert_eq!(told("송파구 올림픽로"), ["road 올림픽로", "Sigungu 송파구"]);
        assert_eq!(told("성남시 분당구"), ["Sigungu 성남시 분당구"]);
        assert_eq!(told("경기 양평군 양서면 양수리"), ["Ri 양평군"]);
        assert_eq!(told("강원도 강릉시"), ["Sigungu 강릉시"]);
        assert_eq!(told("세종"), ["Sido"]);
    }

    #[test]
    fn a_postal_code_names_its_buildings() {
        assert_eq!(told("12585"), ["building 두물머리", "building 세미원"]);
        assert!(told("99999").is_empty());
    }
}
