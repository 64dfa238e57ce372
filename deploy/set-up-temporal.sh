#!/bin/sh
# Creates or updates the schemas of Temporal's two databases; runs in temporalio/admin-tools before the server, repeatable.
set -eu

bring_up_to_date() {
  tool="temporal-sql-tool --plugin postgres12 --ep $SQL_HOST --port 5432 --user $SQL_USER --db $1"
  # Works from the second start on; at the first there is no database yet.
  if $tool update-schema --schema-name "postgresql/v12/$2"; then return; fi
  $tool create || true
  $tool setup-schema -v 0.0
  $tool update-schema --schema-name "postgresql/v12/$2"
}

bring_up_to_date temporal temporal
bring_up_to_date temporal_visibility visibility
