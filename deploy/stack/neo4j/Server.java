import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.concurrent.CountDownLatch;
import org.neo4j.cli.ExecutionContext;
import org.neo4j.commandline.admin.security.SetInitialPasswordCommand;
import org.neo4j.configuration.GraphDatabaseInternalSettings;
import org.neo4j.configuration.GraphDatabaseSettings;
import org.neo4j.configuration.connectors.BoltConnector;
import org.neo4j.configuration.connectors.HttpConnector;
import org.neo4j.configuration.helpers.SocketAddress;
import org.neo4j.dbms.api.DatabaseManagementService;
import org.neo4j.dbms.api.DatabaseManagementServiceBuilder;
import org.neo4j.io.ByteUnit;
import picocli.CommandLine;

/**
 * Serves Bolt from one Neo4j Community instance, for development and tests.
 *
 * <p>Arguments: folder, address, port, file with the password of the user `neo4j`. The password is set before the first
 * start, as `neo4j-admin` sets it, so that Bolt never answers to another one.
 */
public final class Server {
    private Server() {}

    public static void main(String[] arguments) throws Exception {
        if (arguments.length != 4) {
            System.err.println("usage: Server DIR ADDRESS PORT PASSWORD_FILE");
            System.exit(64);
        }
        Path home = Path.of(arguments[0]).toAbsolutePath();
        SocketAddress address = new SocketAddress(arguments[1], Integer.parseInt(arguments[2]));

        if (!Files.exists(home.resolve("data/databases"))) {
            String password = Files.readString(Path.of(arguments[3])).strip();
            ExecutionContext context = new ExecutionContext(home, home.resolve("conf"));
            int code = new CommandLine(new SetInitialPasswordCommand(context)).execute(password);
            if (code != 0) {
                System.exit(code);
            }
        }

        CountDownLatch stop = new CountDownLatch(1);
        DatabaseManagementService service = new DatabaseManagementServiceBuilder(home)
                .setConfig(GraphDatabaseSettings.auth_enabled, true)
                .setConfig(GraphDatabaseSettings.udc_enabled, false)
                .setConfig(GraphDatabaseSettings.pagecache_memory, ByteUnit.mebiBytes(64))
                .setConfig(GraphDatabaseSettings.shutdown_transaction_end_timeout, Duration.ofSeconds(2))
                // Else it sits twice for five seconds after the last connection has gone.
                .setConfig(GraphDatabaseInternalSettings.netty_server_shutdown_quiet_period, 0)
                .setConfig(BoltConnector.enabled, true)
                .setConfig(BoltConnector.listen_address, address)
                .setConfig(BoltConnector.advertised_address, address)
                .setConfig(BoltConnector.encryption_level, BoltConnector.EncryptionLevel.DISABLED)
                .setConfig(HttpConnector.enabled, false)
                .build();
        Runtime.getRuntime().addShutdownHook(new Thread(service::shutdown));
        System.out.println("neo4j: Bolt on " + address);
        stop.await();
    }
}
