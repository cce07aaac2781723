// What Kannel fetches: 200 without a body, at once. PORT comes from the environment.
package main

import (
	"log"
	"net/http"
	"os"
)

func main() {
	ok := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), ok))
}
