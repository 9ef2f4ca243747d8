#!/bin/sh
# Installs every program that a test can need, on Debian and its relatives. `make services` calls it.
# No service is started: the tests start what they need themselves, on loopback or in a network of their own.
set -eu

packages="chromium orthanc orthanc-dicomweb dcmtk dicom3tools openssl postgresql iproute2 util-linux"
# npm may have come in another way than by apt-get, and Debian's has hundreds of packages behind it.
command -v npm >/dev/null || packages="$packages npm"

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

# OHIF, a viewer: its pages come prebuilt in a package of npm's. What does not have the hash that was looked at is not
# unpacked. It lies where the tests look for it (tests/ohif.py), and not in the repository.
read -r ohif version integrity <"$(dirname "$0")/ohif.lock"
pages="${XDG_CACHE_HOME:-$HOME/.cache}/carina-tests/ohif-app-$version"
fetch_ohif() {
    [ ! -f "$pages/index.html" ] || return 0
    echo "make services: fetching $ohif $version (48 MB)"
    folder=$(mktemp -d)
    archive=$(cd "$folder" && npm pack --silent "$ohif@$version")
    found="sha512-$(openssl dgst -sha512 -binary "$folder/$archive" | base64 | tr -d '\n')"
    if [ "$found" != "$integrity" ]; then
        rm -r "$folder"
        echo "make services: $ohif $version has another hash than tests/ohif.lock says: $found" >&2
        exit 1
    fi
    tar -xzf "$folder/$archive" -C "$folder" package/dist
    mkdir -p "$(dirname "$pages")"
    mv "$folder/package/dist" "$pages"
    rm -r "$folder"
}

if [ -z "$missing" ]; then
    fetch_ohif
    echo "make services: everything is installed already: $packages, $ohif."
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
fetch_ohif
