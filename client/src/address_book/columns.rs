//! What the columns of a table mean, read off its header.

use super::ImportError;

/// Separators in the order in which ties are decided.
pub(super) const SEPARATORS: [u8; 3] = [b',', b';', b'\t'];

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    DisplayName,
    FirstName,
    MiddleName,
    LastName,
    Tel,
    Email,
    Opaque,
    Identifier,
    Ignored,
}

/// The meaning of every column, and how a field holds several values.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) columns: Vec<Column>,
    /// Google writes several values of one label into one field, joined by ` ::: `.
    pub(super) joins_values: bool,
}

impl Header {
    /// Gives every column its meaning.
    pub(super) fn read<'a>(
        names: impl Iterator<Item = &'a str>,
        ignore_unknown: bool,
    ) -> Result<Self, ImportError> {
        let names: Vec<String> = names.map(|name| name.trim().to_lowercase()).collect();
        let export = Export::recognize(&names);
        let meanings: Vec<Option<Column>> = names.iter().map(|n| export.column(n)).collect();
        if meanings.iter().all(Option::is_none) {
            return Err(ImportError::NoHeader);
        }
        let mut columns = Vec::with_capacity(names.len());
        for (i, (name, meaning)) in names.iter().zip(meanings).enumerate() {
            // A trailing separator makes a column without a name; its fields must be empty.
            let may_ignore = ignore_unknown || export != Export::None || name.is_empty();
            columns.push(match meaning {
                Some(column) => column,
                None if may_ignore => Column::Ignored,
                None => return Err(ImportError::UnknownColumn { position: i + 1 }),
            });
        }
        if !columns.iter().any(Column::holds_identifiers) {
            return Err(ImportError::NoUsableColumn);
        }
        Ok(Self { columns, joins_values: export == Export::Google })
    }
}

impl Column {
    fn holds_identifiers(&self) -> bool {
        matches!(self, Self::Tel | Self::Email | Self::Opaque | Self::Identifier)
    }
}

/// The separator under which most columns of the first record are known.
pub(super) fn detect_separator(text: &str) -> u8 {
    let mut best = (0, 0, b',');
    for separator in SEPARATORS {
        let names = first_record(text, separator);
        let export = Export::recognize(&names);
        let n_known = names.iter().filter(|name| export.column(name).is_some()).count();
        if (n_known, names.len()) > (best.0, best.1) {
            best = (n_known, names.len(), separator);
        }
    }
    best.2
}

/// Whether the first record consists of known column names only.
pub(super) fn starts_with_header(text: &str) -> bool {
    let names = first_record(text, detect_separator(text));
    Header::read(names.iter().map(String::as_str), false).is_ok()
}

fn first_record(text: &str, separator: u8) -> Vec<String> {
    let mut record = csv::StringRecord::new();
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .delimiter(separator)
        .from_reader(text.as_bytes());
    match reader.read_record(&mut record) {
        Ok(true) => record.iter().map(|name| name.trim().to_lowercase()).collect(),
        _ => Vec::new(),
    }
}

/// The programs whose exports are recognized. Their many other columns are passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Export {
    Google,
    Outlook,
    None,
}

impl Export {
    fn recognize(names: &[String]) -> Self {
        /// Columns that Outlook writes in every export, in English.
        const OUTLOOK: [&str; 8] = [
            "e-mail address",
            "e-mail display name",
            "business phone",
            "home phone",
            "primary phone",
            "company main phone",
            "business street",
            "home street",
        ];
        if names.iter().any(|name| google_value(name).is_some()) {
            return Self::Google;
        }
        let n_outlook = names.iter().filter(|name| OUTLOOK.contains(&name.as_str())).count();
        if n_outlook >= 3 { Self::Outlook } else { Self::None }
    }

    fn column(self, name: &str) -> Option<Column> {
        match self {
            Self::Google => google_value(name).or_else(|| name_column(name)),
            Self::Outlook => outlook_value(name).or_else(|| name_column(name)),
            Self::None => own_value(name).or_else(|| name_column(name)),
        }
    }
}

/// `Phone 1 - Value`, `E-mail 2 - Value`.
fn google_value(name: &str) -> Option<Column> {
    let (name, number) = name.strip_suffix(" - value")?.rsplit_once(' ')?;
    let is_number = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    match name {
        "phone" if is_number => Some(Column::Tel),
        "e-mail" if is_number => Some(Column::Email),
        _ => None,
    }
}

/// `Mobile Phone`, `Home Phone 2`, `Business Fax`, `E-mail 2 Address`.
fn outlook_value(name: &str) -> Option<Column> {
    let base = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == ' ');
    let is_own_number = base != "assistant's phone";
    match base {
        "callback" => Some(Column::Tel),
        _ if is_own_number && (base.ends_with(" phone") || base.ends_with(" fax")) => {
            Some(Column::Tel)
        }
        _ if name.starts_with("e-mail ") && name.ends_with("address") => Some(Column::Email),
        _ => None,
    }
}

fn name_column(name: &str) -> Option<Column> {
    match plain(name).as_str() {
        "name" | "display name" | "full name" | "formatted name" | "anzeigename" => {
            Some(Column::DisplayName)
        }
        "first name" | "firstname" | "given name" | "vorname" => Some(Column::FirstName),
        "middle name" | "additional name" => Some(Column::MiddleName),
        "last name" | "lastname" | "family name" | "surname" | "nachname" | "familienname" => {
            Some(Column::LastName)
        }
        _ => None,
    }
}

fn own_value(name: &str) -> Option<Column> {
    let name = plain(name);
    match name.trim_end_matches(|c: char| c.is_ascii_digit() || c == ' ') {
        "tel" | "telephone" | "telephone number" | "phone" | "phone number" | "mobile"
        | "mobile phone" | "mobile number" | "cell" | "cell phone" | "cellphone" | "home phone"
        | "work phone" | "business phone" | "telefon" | "telefonnummer" | "handy"
        | "handynummer" | "mobil" | "mobiltelefon" | "mobilnummer" | "rufnummer" => {
            Some(Column::Tel)
        }
        "email" | "e mail" | "mail" | "mailto" | "email address" | "e mail address"
        | "e mail adresse" => Some(Column::Email),
        "id" => Some(Column::Opaque),
        "identifier" => Some(Column::Identifier),
        _ => None,
    }
}

/// Hyphens and underscores as spaces.
fn plain(name: &str) -> String {
    name.replace(['-', '_'], " ")
}
