// Usage: java Client URL CA SCENARIO VERSION, VERSION being HTTP_1_1 or HTTP_2.
import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.MessageDigest;
import java.security.cert.CertificateFactory;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.stream.IntStream;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

public class Client {
    static void expect(Object got, Object want) {
        if (!got.equals(want)) throw new AssertionError("got " + got + ", want " + want);
    }

    public static void main(String[] args) throws Exception {
        String url = args[0];
        HttpClient.Version version = HttpClient.Version.valueOf(args[3]);
        KeyStore keys = KeyStore.getInstance(KeyStore.getDefaultType());
        keys.load(null, null);
        try (InputStream in = Files.newInputStream(Path.of(args[1]))) {
            keys.setCertificateEntry("ca", CertificateFactory.getInstance("X.509").generateCertificate(in));
        }
        TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(keys);
        SSLContext tls = SSLContext.getInstance("TLS");
        tls.init(null, trust.getTrustManagers(), null);
        HttpClient client = HttpClient.newBuilder().version(version).sslContext(tls).build();

        byte[] big = "0123456789abcdef".repeat(65536).getBytes();
        String summed = big.length + " " + HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(big));
        HttpRequest get = HttpRequest.newBuilder(URI.create(url + "/echo")).build();
        HttpRequest post = HttpRequest.newBuilder(URI.create(url + "/echo")).POST(BodyPublishers.ofByteArray(big)).build();
        switch (args[2]) {
        case "bodies" -> {
            HttpResponse<String> answer = client.send(get, BodyHandlers.ofString());
            expect(answer.version(), version);
            expect(answer.body().startsWith("GET 0 "), true);
            expect(client.send(post, BodyHandlers.ofString()).body(), "POST " + summed);
            expect(client.send(HttpRequest.newBuilder(URI.create(url + "/echo"))
                .PUT(BodyPublishers.ofInputStream(() -> new ByteArrayInputStream(big))).build(), BodyHandlers.ofString()).body(), "PUT " + summed);
            expect(Arrays.equals(client.send(HttpRequest.newBuilder(URI.create(url + "/big")).build(), BodyHandlers.ofByteArray()).body(), big), true);
            IntStream.range(0, 10).mapToObj(i -> client.sendAsync(post, BodyHandlers.ofString())).toList()
                .forEach(f -> expect(f.join().body(), "POST " + summed));
        }
        case "events" -> {
            int n = 0;
            InputStream in = client.send(HttpRequest.newBuilder(URI.create(url + "/events")).build(), BodyHandlers.ofInputStream()).body();
            for (BufferedReader r = new BufferedReader(new InputStreamReader(in));;) {
                String line = r.readLine();
                if (line == null) break;
                if (line.isEmpty()) continue;
                expect(line, "data: " + n++);
                expect(client.send(HttpRequest.newBuilder(URI.create(url + "/seen")).build(), BodyHandlers.discarding()).statusCode(), 200);
            }
            expect(n, 3);
        }
        case "cancel" -> {
            InputStream in = client.send(HttpRequest.newBuilder(URI.create(url + "/endless")).build(), BodyHandlers.ofInputStream()).body();
            expect(new String(in.readNBytes(5)), "hello");
            in.close();
        }
        case "reuse" -> {
            for (int i = 0; i < 20; i++) expect(client.send(get, BodyHandlers.ofString()).statusCode(), 200);
        }
        default -> throw new IllegalArgumentException(args[2]);
        }
        System.exit(0);
    }
}
