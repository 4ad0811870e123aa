# shellcheck shell=bash
# Records of the servers we started, one file each, and stopping exactly those. Sourced by up, down and tests/run.sh.
#
# A record is a file NAME-PID with the time at which that process started, so that a pid which now belongs to another
# process is left alone. tests/support/servers.rs writes the same.

# Prints when a process started, in clock ticks since boot; fails if there is none.
started_at() {
    local stat
    stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
    # The name in parentheses may contain spaces.
    stat=${stat##*) }
    # A zombie has ended already.
    [ "${stat%% *}" != Z ] || return 1
    cut -d' ' -f20 <<<"$stat"
}

record_process() { # FOLDER NAME PID
    mkdir -p "$1"
    started_at "$3" >"$1/$2-$3"
}

# Whether the process of a record still runs.
runs() {
    local now
    now=$(started_at "${1##*-}") && [ "$now" = "$(cat "$1")" ]
}

# Stops the process of a record: SIGTERM, then after 20 s SIGKILL. Removes the record.
stop_recorded() {
    local pid=${1##*-} try
    if runs "$1"; then
        # A frozen process gets the signal only when it goes on.
        kill -TERM "$pid" 2>/dev/null && kill -CONT "$pid" 2>/dev/null
        for ((try = 0; try < 200; try++)); do
            runs "$1" || break
            sleep 0.1
        done
        if runs "$1"; then
            kill -KILL "$pid" 2>/dev/null
        fi
    fi
    rm -f "$1"
}

stop_all_recorded() { # FOLDER
    local record
    for record in "$1"/*-*; do
        [ -e "$record" ] || continue
        stop_recorded "$record"
    done
}
