// Command mongodb serves the MongoDB wire protocol from SQLite files, for development and tests.
package main

import (
	"context"
	"flag"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/FerretDB/FerretDB/ferretdb"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:27017", "address to serve on")
	dir := flag.String("dir", "", "existing folder for the databases")
	flag.Parse()
	if *dir == "" {
		log.Fatal("mongodb: --dir is missing")
	}
	absolute, err := filepath.Abs(*dir)
	if err != nil {
		log.Fatalf("mongodb: %v", err)
	}

	server, err := ferretdb.New(&ferretdb.Config{
		Listener:  ferretdb.ListenerConfig{TCP: *listen},
		Handler:   "sqlite",
		SQLiteURL: "file:" + absolute + "/",
	})
	if err != nil {
		log.Fatalf("mongodb: %v", err)
	}
	stop, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	if err := server.Run(stop); err != nil && stop.Err() == nil {
		log.Fatalf("mongodb: %v", err)
	}
}
