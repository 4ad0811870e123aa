# shellcheck shell=bash
# Whether a server really answers its own protocol on 127.0.0.1, with nothing but bash. Sourced by up.

# Sends what is on stdin to a port and prints up to COUNT bytes of the answer.
exchange() { # PORT COUNT
    (
        exec 3<>"/dev/tcp/127.0.0.1/$1" || exit 1
        cat >&3
        timeout 5 head -c "$2" <&3
    ) 2>/dev/null
}

# Prints the body of an answer with a 2xx status; fails on every other.
http() { # METHOD PORT PATH [BODY]
    local answer body=${4-}
    answer=$(printf '%s %s HTTP/1.0\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s' \
        "$1" "$3" "${#body}" "$body" | exchange "$2" 1000000) || return 1
    case $answer in
        "HTTP/1."?" 2"*) printf '%s\n' "${answer#*$'\r\n\r\n'}" ;;
        *) return 1 ;;
    esac
}

# CONNECT as an MQTT 3.1.1 client without a name; the answer is a CONNACK.
mosquitto_answers() {
    [ "$(printf '\x10\x0c\x00\x04MQTT\x04\x02\x00\x05\x00\x00' | exchange "$1" 4 | od -An -tx1)" = " 20 02 00 00" ]
}

influxdb_answers() { http GET "$1" /health >/dev/null; }

prometheus_answers() { http GET "$1" /-/ready >/dev/null; }

# OP_MSG with {hello: 1, $db: "admin"}; the answer is an OP_MSG (2013) to our request 1.
mongodb_answers() {
    local message='\x34\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\xdd\x07\x00\x00\x00\x00\x00\x00\x00'
    # shellcheck disable=SC2016  # $db is a field's name
    message+='\x1f\x00\x00\x00\x10hello\x00\x01\x00\x00\x00\x02$db\x00\x06\x00\x00\x00admin\x00\x00'
    # shellcheck disable=SC2059  # the message is an escaped format
    [ "$(printf "$message" | exchange "$1" 16 | tail -c 8 | od -An -tx1)" = " 01 00 00 00 dd 07 00 00" ]
}

# The Bolt handshake, offering 4.4 only; the answer is the version chosen.
neo4j_answers() {
    [ "$(printf '\x60\x60\xb0\x17\x00\x00\x04\x04\0\0\0\0\0\0\0\0\0\0\0\0' | exchange "$1" 4 | od -An -tx1)" = " 00 00 04 04" ]
}
