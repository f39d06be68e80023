#!/bin/sh
# The entry point of a container that is a machine of a Croft farm. From the environment: FARM, HOST_TYPE, and optionally KEY_FILE
# (/run/secrets/croft-key), CA_FILE and DIR. Arguments are flags of the buildlet. Run the container with --init, which collects dead processes.
set -eu
umask 077

here=$(dirname "$0")
dir=${DIR:-/var/lib/croft-buildlet}
key=${KEY_FILE:-/run/secrets/croft-key}
[ -n "${FARM:-}" ] || { echo 'croft: set FARM to the address of the farm' >&2; exit 2; }
mkdir -p "$dir"
# A secret that is mounted can be read by others, too; the buildlet refuses such a file.
if [ -f "$key" ]; then cat "$key" >"$dir/key"; fi
start=$here/start.sh
[ -f "$start" ] || start=$here/../start.sh
exec /bin/sh "$start" --farm "$FARM" ${HOST_TYPE:+--host-type "$HOST_TYPE"} ${CA_FILE:+--ca "$CA_FILE"} --dir "$dir" -- "$@"
