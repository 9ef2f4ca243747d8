#!/bin/sh
# Installs every program that a test can need, on Debian and its relatives. `make services` calls it.
# No service is started: the tests start what they need themselves, on loopback or in a network of their own.
set -eu

packages="chromium orthanc orthanc-dicomweb dcmtk dicom3tools openssl postgresql iproute2 util-linux"

if ! command -v apt-get >/dev/null; then
    echo "make services: there is no apt-get on this machine. Install these programs in another way: $packages." >&2
    echo "Tests whose program is missing are skipped, and the last line of the tests says which." >&2
    exit 1
fi

missing=""
for package in $packages; do
    case "$(dpkg-query --show --showformat '${db:Status-Status}' "$package" 2>/dev/null)" in
        installed) ;;
        *) missing="$missing $package" ;;
    esac
done
if [ -z "$missing" ]; then
    echo "make services: everything is installed already: $packages."
    exit 0
fi

as_root=""
[ "$(id -u)" -eq 0 ] || as_root="sudo"

# Debian's Orthanc listens on every address as soon as it is installed. A masked service is never started.
[ ! -d /run/systemd/system ] || $as_root systemctl mask orthanc.service

echo "make services: installing$missing"
$as_root apt-get update --quiet=2
# shellcheck disable=SC2086  # a list of words
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install --quiet=2 --yes --no-install-recommends $missing
