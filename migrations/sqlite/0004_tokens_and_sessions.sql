-- A rotated token's secret of before is valid for a while beside the new one.
ALTER TABLE tokens ADD COLUMN replaced_hash BLOB CHECK (length(replaced_hash) = 32);
ALTER TABLE tokens ADD COLUMN replaced_until_micros INTEGER;

-- A session is its opener's: nobody else with a token may see or end it. Empty where no token was needed.
ALTER TABLE session_changes ADD COLUMN opened_by TEXT NOT NULL DEFAULT '';
