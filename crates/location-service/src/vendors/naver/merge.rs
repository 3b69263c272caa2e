//! One list out of the shop search's and the address search's rows.

use crate::place::Place;

/// Two rows closer than this may be the same place if their names agree.
const SAME_PLACE_METRES: f64 = 30.0;

/// Shops first; an address row that is one of them completes it instead of following it.
pub(crate) fn merge(mut shops: Vec<Place>, addresses: Vec<Place>) -> Vec<Place> {
    let mut rest = Vec::new();
    for address in addresses {
        let same = RULES
            .iter()
            .find_map(|rule| shops.iter().position(|shop| rule(shop, &address)));
        match same {
            Some(index) => {
                shops[index].complete_address(&address);
                shops[index].name = shops[index].name.take().or(address.name);
            }
            None => rest.push(address),
        }
    }
    shops.append(&mut rest);
    shops
}

/// Surest first, so that a shop in the building does not take the building's row.
const RULES: [fn(&Place, &Place) -> bool; 3] =
    [same_road_and_name, same_lot_and_name, near_and_alike];

/// An equal address alone is not enough: one building holds many shops.
fn same_road_and_name(one: &Place, other: &Place) -> bool {
    one.shares_road(other)
        && match (one.normal_name(), other.normal_name()) {
            (Some(one), Some(other)) => one == other,
            _ => true,
        }
}

fn same_lot_and_name(one: &Place, other: &Place) -> bool {
    one.shares_lot(other)
        && one
            .normal_name()
            .is_some_and(|name| Some(name) == other.normal_name())
}

fn near_and_alike(one: &Place, other: &Place) -> bool {
    let alike = match (one.normal_name(), other.normal_name()) {
        (Some(one), Some(other)) => {
            let (short, long) = if one.len() < other.len() {
                (one, other)
            } else {
                (other, one)
            };
            short.chars().nth(1).is_some() && long.contains(&short)
        }
        _ => false,
    };
    alike && one.point.metres_to(other.point) < SAME_PLACE_METRES
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        address::{JibunAddress, Region, RoadAddress},
        place::Point,
    };

    const ROAD: &str = "서울 송파구 위례성대로 2";
    const LOT: &str = "서울 송파구 방이동 44-2";

    fn place(name: &str, road: &str, lot: &str, lat: f64) -> Place {
        let name = (!name.is_empty()).then(|| name.to_owned());
        let point = Point::new(lat, 127.1).expect("in Korea");
        Place::new(
            name,
            RoadAddress::parse(road),
            JibunAddress::parse(lot),
            Region::default(),
            point,
        )
        .expect("a place")
    }

    fn names(places: &[Place]) -> Vec<String> {
        places.iter().map(Place::shown_name).collect()
    }

    #[test]
    fn equal_places_become_one_and_shops_in_a_building_do_not() {
        let shops = vec![
            place("장은빌딩 약국", ROAD, LOT, 37.5),
            place("장은빌딩", ROAD, "", 37.5),
        ];
        let merged = merge(shops, vec![place("장은 빌딩", ROAD, LOT, 37.5)]);
        assert_eq!(names(&merged), ["장은빌딩 약국", "장은빌딩"]);
        assert!(
            merged[1].jibun.is_some(),
            "the address row completes the shop's"
        );
    }

    #[test]
    fn a_nameless_address_completes_the_first_shop_at_it() {
        let merged = merge(
            vec![place("가게", ROAD, "", 37.5)],
            vec![place("", ROAD, LOT, 37.6)],
        );
        assert_eq!(names(&merged), ["가게"]);
    }

    #[test]
    fn lots_and_nearness_decide_where_roads_do_not() {
        let by_lot = merge(
            vec![place("가게", "", LOT, 37.5)],
            vec![place("가게", ROAD, LOT, 37.6)],
        );
        assert_eq!(by_lot.len(), 1);
        let near = merge(
            vec![place("남산 서울타워", "", "", 37.5)],
            vec![place("서울타워", ROAD, "", 37.500_1)],
        );
        assert_eq!(names(&near), ["남산 서울타워"]);
        let far = merge(
            vec![place("남산 서울타워", "", "", 37.5)],
            vec![place("서울타워", ROAD, "", 37.501)],
        );
        assert_eq!(far.len(), 2);
        let one_letter = merge(
            vec![place("가나", "", "", 37.5)],
            vec![place("가", ROAD, "", 37.5)],
        );
        assert_eq!(one_letter.len(), 2);
    }
}
