//! TMAP's answers, member by member. All values are text, and text that does not apply is empty.

use serde::Serialize;

#[derive(Serialize)]
#[cfg_attr(test, derive(serde::Deserialize), serde(deny_unknown_fields))]
pub(super) struct ErrorEnvelope {
    pub(super) error: ErrorBody,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(serde::Deserialize), serde(deny_unknown_fields))]
pub(super) struct ErrorBody {
    pub(super) id: String,
    pub(super) category: String,
    pub(super) code: String,
    pub(super) message: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(serde::Deserialize), serde(deny_unknown_fields))]
pub(super) struct PoisAnswer {
    pub(super) search_poi_info: SearchPoiInfo,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(serde::Deserialize), serde(deny_unknown_fields))]
pub(super) struct SearchPoiInfo {
    pub(super) total_count: String,
    pub(super) count: String,
    pub(super) page: String,
    pub(super) pois: Pois,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(serde::Deserialize), serde(deny_unknown_fields))]
pub(super) struct Pois {
    pub(super) poi: Vec<Poi>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(serde::Deserialize), serde(deny_unknown_fields))]
pub(super) struct Poi {
    pub(super) id: String,
    pub(super) pkey: String,
    pub(super) nav_seq: String,
    pub(super) collection_type: String,
    pub(super) name: String,
    pub(super) tel_no: String,
    pub(super) front_lat: String,
    pub(super) front_lon: String,
    pub(super) noor_lat: String,
    pub(super) noor_lon: String,
    pub(super) upper_addr_name: String,
    pub(super) middle_addr_name: String,
    pub(super) lower_addr_name: String,
    pub(super) detail_addr_name: String,
    pub(super) ml_class: String,
    pub(super) first_no: String,
    pub(super) second_no: String,
    pub(super) road_name: String,
    pub(super) first_build_no: String,
    pub(super) second_build_no: String,
    pub(super) radius: String,
    /// Missing in many recorded answers, empty in the others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) biz_name: Option<String>,
    pub(super) upper_biz_name: String,
    pub(super) middle_biz_name: String,
    pub(super) lower_biz_name: String,
    pub(super) detail_biz_name: String,
    pub(super) rp_flag: String,
    pub(super) park_flag: String,
    pub(super) detail_info_flag: String,
    pub(super) desc: String,
    pub(super) new_address_list: NewAddressList,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(serde::Deserialize), serde(deny_unknown_fields))]
pub(super) struct NewAddressList {
    pub(super) new_address: Vec<NewAddress>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(serde::Deserialize), serde(deny_unknown_fields))]
pub(super) struct NewAddress {
    pub(super) center_lat: String,
    pub(super) center_lon: String,
    pub(super) front_lat: String,
    pub(super) front_lon: String,
    pub(super) road_name: String,
    pub(super) bld_no1: String,
    pub(super) bld_no2: String,
    pub(super) road_id: String,
    pub(super) full_address_road: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(serde::Deserialize), serde(deny_unknown_fields))]
pub(super) struct ReverseAnswer {
    pub(super) address_info: AddressInfo,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(serde::Deserialize), serde(deny_unknown_fields))]
pub(super) struct AddressInfo {
    pub(super) full_address: String,
    pub(super) address_type: String,
    #[serde(rename = "city_do")]
    pub(super) city_do: String,
    #[serde(rename = "gu_gun")]
    pub(super) gu_gun: String,
    #[serde(rename = "eup_myun")]
    pub(super) eup_myun: String,
    pub(super) admin_dong: String,
    pub(super) admin_dong_code: String,
    pub(super) legal_dong: String,
    pub(super) legal_dong_code: String,
    pub(super) ri: String,
    pub(super) bunji: String,
    pub(super) road_name: String,
    pub(super) building_index: String,
    pub(super) building_name: String,
    pub(super) mapping_distance: String,
    pub(super) road_code: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(serde::Deserialize), serde(deny_unknown_fields))]
pub(super) struct GeocodeAnswer {
    pub(super) coordinate_info: CoordinateInfo,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(serde::Deserialize), serde(deny_unknown_fields))]
pub(super) struct CoordinateInfo {
    pub(super) coord_type: String,
    pub(super) address_flag: String,
    pub(super) page: String,
    pub(super) count: String,
    pub(super) total_count: String,
    pub(super) coordinate: Vec<Coordinate>,
}

/// One match, of which either the lot-number or the road-name (`new`) half is filled.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(serde::Deserialize), serde(deny_unknown_fields))]
pub(super) struct Coordinate {
    pub(super) match_flag: String,
    pub(super) lat: String,
    pub(super) lon: String,
    pub(super) lat_entr: String,
    pub(super) lon_entr: String,
    #[serde(rename = "city_do")]
    pub(super) city_do: String,
    #[serde(rename = "gu_gun")]
    pub(super) gu_gun: String,
    #[serde(rename = "eup_myun")]
    pub(super) eup_myun: String,
    pub(super) legal_dong: String,
    /// Missing in coarse matches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) legal_dong_code: Option<String>,
    pub(super) admin_dong: String,
    /// Missing in coarse matches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) admin_dong_code: Option<String>,
    pub(super) ri: String,
    pub(super) bunji: String,
    pub(super) building_name: String,
    pub(super) building_dong: String,
    pub(super) new_match_flag: String,
    pub(super) new_lat: String,
    pub(super) new_lon: String,
    pub(super) new_lat_entr: String,
    pub(super) new_lon_entr: String,
    pub(super) new_road_name: String,
    pub(super) new_building_index: String,
    pub(super) new_building_name: String,
    pub(super) new_building_cate_name: String,
    pub(super) new_building_dong: String,
    pub(super) zipcode: String,
    /// Missing in coarse matches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) remainder: Option<String>,
}
