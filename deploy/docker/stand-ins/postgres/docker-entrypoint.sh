#!/bin/bash
# Makes the data folder at the first start as the official image does: the superuser
# `POSTGRES_USER` with `POSTGRES_PASSWORD` (or `POSTGRES_PASSWORD_FILE`), the database `POSTGRES_DB`.
set -euo pipefail

case "${1:-postgres}" in
    postgres | -*) ;;
    *) exec "$@" ;;
esac
[ "${1:-}" = postgres ] && shift

if [ ! -s "$PGDATA/PG_VERSION" ]; then
    user=${POSTGRES_USER:-postgres}
    database=${POSTGRES_DB:-$user}
    password=${POSTGRES_PASSWORD:-}
    if [ -n "${POSTGRES_PASSWORD_FILE:-}" ]; then
        password=$(cat "$POSTGRES_PASSWORD_FILE")
    fi
    if [ -z "$password" ]; then
        echo 'postgres: give the superuser a password by POSTGRES_PASSWORD or POSTGRES_PASSWORD_FILE' >&2
        exit 1
    fi
    # Emptied, since an initdb that was cut short leaves a folder that the next one refuses.
    find "$PGDATA" -mindepth 1 -delete
    initdb --username="$user" --pwfile=<(echo "$password") --auth-host=scram-sha-256 --auth-local=trust >/dev/null
    echo 'host all all all scram-sha-256' >>"$PGDATA/pg_hba.conf"
    if [ "$database" != postgres ]; then
        printf 'CREATE DATABASE :"name";\n' >/tmp/create.sql
        pg_ctl --wait --silent --options="-c listen_addresses=''" start >/dev/null
        psql --quiet --username="$user" --dbname=postgres --set=ON_ERROR_STOP=1 --set=name="$database" --file=/tmp/create.sql
        pg_ctl --wait --silent --mode=fast stop >/dev/null
    fi
fi
exec postgres -c listen_addresses='*' "$@"
