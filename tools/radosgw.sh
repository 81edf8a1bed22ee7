#!/bin/sh
# A throw-away Ceph of one node whose S3 gateway listens on loopback, to run the S3 tests against.
#
#   apt-get install --no-install-recommends radosgw ceph-mon ceph-osd ceph-common
#   tools/radosgw.sh FOLDER [PORT]      everything lies in FOLDER; prints the variables for the tests
#   tools/radosgw.sh FOLDER stop
#
# Its objects are in memory and its secrets are "testing": for tests and nothing else.
set -eu
folder=${1:?usage: tools/radosgw.sh FOLDER [PORT|stop]}
port=${2:-7480}
if [ "$port" = stop ]; then
    for pid in rgw osd mon; do
        [ ! -s "$folder/$pid.pid" ] || kill "$(cat "$folder/$pid.pid")" 2>/dev/null || true
    done
    exit 0
fi
mkdir -p "$folder/mon" "$folder/osd" "$folder/rgw"
folder=$(cd "$folder" && pwd)
fsid=$(cat /proc/sys/kernel/random/uuid)
conf=$folder/ceph.conf
cat > "$conf" <<END
[global]
fsid = $fsid
mon initial members = a
mon host = [v2:127.0.0.1:$((port + 1)),v1:127.0.0.1:$((port + 2))]
public network = 127.0.0.0/8
keyring = $folder/keyring
auth allow insecure global id reclaim = false
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pgp num = 4
osd crush chooseleaf type = 0
mon allow pool size one = true
mon warn on pool no redundancy = false
mon max pg per osd = 1000
osd objectstore = memstore
memstore device bytes = 6442450944
osd max object size = 1073741824
mon data = $folder/mon
osd data = $folder/osd
rgw data = $folder/rgw
run dir = $folder
admin socket = $folder/\$name.asok
log file = $folder/\$name.log
rgw frontends = beast endpoint=127.0.0.1:$port
rgw dns name = localhost
rgw crypt require ssl = false
rgw crypt s3 kms backend = testing
rgw crypt s3 kms encryption keys = alias/k=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=
END
export CEPH_CONF="$conf"
osd=$(cat /proc/sys/kernel/random/uuid)
{
    for name in mon. client.admin; do
        ceph-authtool --create-keyring "$folder/one" --gen-key -n $name --cap mon 'allow *' --cap osd 'allow *'
        cat "$folder/one" >> "$folder/keyring"
    done
    monmaptool --create --fsid "$fsid" --addv a "[v2:127.0.0.1:$((port + 1)),v1:127.0.0.1:$((port + 2))]" "$folder/monmap"
    ceph-mon --mkfs -i a --monmap "$folder/monmap" --keyring "$folder/keyring"
    ceph-mon -i a --pid-file "$folder/mon.pid"
    ceph osd new "$osd"
    ceph auth get-or-create osd.0 mon 'allow profile osd' osd 'allow *' >> "$folder/keyring"
    ceph-osd --mkfs -i 0 --osd-uuid "$osd"
    ceph-osd -i 0 --pid-file "$folder/osd.pid"
    ceph auth get-or-create client.rgw mon 'allow *' osd 'allow *' >> "$folder/keyring"
    radosgw-admin user create --uid=tests --display-name=tests --access-key=testing --secret-key=testing
    class="--placement-id default-placement --storage-class STANDARD_IA"
    radosgw-admin zonegroup placement add --rgw-zonegroup default $class
    radosgw-admin zone placement add --rgw-zone default $class --data-pool default.rgw.ia.data
    radosgw --name client.rgw --pid-file "$folder/rgw.pid"
} > "$folder/setup.log" 2>&1
echo "ANVCS_TEST_S3_ENDPOINT=http://127.0.0.1:$port AWS_ACCESS_KEY_ID=testing AWS_SECRET_ACCESS_KEY=testing"
