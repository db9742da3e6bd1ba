"""Files of a TLS listener: the proxy's certificate and key, those of its clients, and what is revoked."""
import datetime
import os
import ssl

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

PEM = serialization.Encoding.PEM


def _write(path, octets):
    """In one stroke, for its owner alone."""
    fresh = path.with_suffix(".next")
    fresh.write_bytes(octets)
    fresh.chmod(0o600)
    os.replace(fresh, path)
    return path


class Mutual:
    """A CA of its own beside the certificate of the proxy, which `ca` (harness/authority.py) signs."""

    def __init__(self, ca, folder):
        self.ca, self.folder = ca, folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "clients of the test")])
        own = (self._builder(self._name, self._key)
               .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
               .add_extension(x509.KeyUsage(False, False, False, False, False, True, True, False, False), critical=True)
               .sign(self._key, hashes.SHA256()))
        self.client_ca = _write(folder / "client-ca.pem", own.public_bytes(PEM))
        self.crl = folder / "client-ca.crl"
        self._revoked = []
        self.revoke()
        self.present("proxy.corp.example")

    def _builder(self, subject, key):
        now = datetime.datetime.utcnow()
        return (x509.CertificateBuilder().subject_name(subject).issuer_name(self._name).public_key(key.public_key())
                .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(hours=1))
                .not_valid_after(now + datetime.timedelta(days=1)))

    def present(self, name):
        """The proxy's certificate is now one for `name`."""
        octets = self.ca.leaf(name).read_bytes()
        cut = octets.index(b"-----BEGIN CERTIFICATE")
        self.key = _write(self.folder / "proxy.key", octets[:cut])
        self.certificate = _write(self.folder / "proxy.pem", octets[cut:])

    def client(self, uri=None, name="client"):
        """One PEM file with key and certificate."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = (self._builder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), key)
                   .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
                   .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False))
        if uri:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)]), critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        private = key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        return _write(self.folder / f"{certificate.serial_number}.pem", private + certificate.public_bytes(PEM))

    def revoke(self, *clients):
        self._revoked += [x509.load_pem_x509_certificate(c.read_bytes()[c.read_bytes().index(b"-----BEGIN CERT"):]).serial_number
                          for c in clients]
        now = datetime.datetime.utcnow()
        builder = (x509.CertificateRevocationListBuilder().issuer_name(self._name)
                   .last_update(now - datetime.timedelta(hours=1)).next_update(now + datetime.timedelta(hours=1)))
        for serial in self._revoked:
            builder = builder.add_revoked_certificate(
                x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now).build())
        _write(self.crl, builder.sign(self._key, hashes.SHA256()).public_bytes(PEM))

    def settings(self, ask=True):
        files = {"certificate": str(self.certificate), "key": str(self.key)}
        return files | ({"client_ca": str(self.client_ca), "crl": str(self.crl)} if ask else {})

    def context(self, client=None):
        """Of a client that holds the proxy to its name."""
        context = ssl.create_default_context(cafile=str(self.ca.bundle))
        if client:
            context.load_cert_chain(client)
        return context
