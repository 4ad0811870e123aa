# shellcheck shell=bash
# Where the servers of this folder are kept, and under which names. Sourced by get, server, up and down.
#
# A server lives in `$cache/NAME-VERSION-MACHINE-HASH`, where HASH is of our own sources for it: a change of them makes
# another folder, so a folder that is there is complete and right, and is never written again.

stack=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
cache=${WARDLINE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/wardline}

# What the tests and `up` need; get builds others (telegraf) when they are named.
# shellcheck disable=SC2034  # read by the scripts that source this file
default_servers=(mosquitto prometheus toxiproxy mongodb neo4j influxdb)

fail() {
    printf '%s: %s\n' "$(basename -- "$0")" "$*" >&2
    exit 1
}

version_of() {
    case $1 in
        mosquitto) echo debian12 ;;
        prometheus) echo debian12 ;;
        influxdb) echo 2.7.12 ;;
        mongodb) echo ferretdb-1.24.2 ;;
        neo4j) echo 5.26.0 ;;
        toxiproxy) echo 2.5.0 ;;
        telegraf) echo 1.37.2 ;;
        *) fail "there is no server '$1'; the servers are ${default_servers[*]} telegraf" ;;
    esac
}

# The folder with our own sources of a server; mosquitto and prometheus have none.
sources_of() {
    case $1 in
        telegraf) echo "$stack/../../tests/bench/telegraf" ;;
        *) echo "$stack/$1" ;;
    esac
}

folder_of() {
    local name=$1 version sources hash=debian
    version=$(version_of "$name") || exit 1
    sources=$(sources_of "$name")
    if [ -d "$sources" ]; then
        hash=$(cat -- "$sources"/* | sha256sum | cut -c1-12)
    fi
    printf '%s/%s-%s-%s-%s\n' "$cache" "$name" "$version" "$(uname -m)" "$hash"
}

# The folders of shared libraries that came with a Debian package unpacked in the cache.
libraries_of() {
    local triplet
    triplet=$(gcc -dumpmachine 2>/dev/null || echo "$(uname -m)-linux-gnu")
    printf '%s/usr/lib/%s:%s/lib/%s\n' "$1" "$triplet" "$1" "$triplet"
}
