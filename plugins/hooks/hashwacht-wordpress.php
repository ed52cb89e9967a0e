<?php
/**
 * Plugin Name: Hashwacht
 * Description: Refuses uploads that match a hash list, before WordPress stores them.
 * License: Apache-2.0
 *
 * Goes to wp-content/mu-plugins. In wp-config.php, if the defaults do not fit:
 *   define('HASHWACHT_SOCKET', '/run/hashwacht-gateway/http.sock');
 *   define('HASHWACHT_ON_UNDETERMINED', 'refuse');   // or 'pass'
 */

if (!defined('ABSPATH')) {
    exit;
}

/** Return the status and the body of the answer to one file: 204, 403, or 503 for undetermined. */
function hashwacht_check(string $path, string $name, string $type): array
{
    $socket = defined('HASHWACHT_SOCKET') ? HASHWACHT_SOCKET : '/run/hashwacht-gateway/http.sock';
    $file = @fopen($path, 'rb');
    $connection = @stream_socket_client("unix://$socket", $number, $problem, 2);
    if ($file === false || $connection === false) {
        return [503, ''];
    }
    stream_set_timeout($connection, 20);
    $user = function_exists('wp_get_current_user') ? wp_get_current_user()->user_login : '';
    $client = filter_var($_SERVER['REMOTE_ADDR'] ?? '', FILTER_VALIDATE_IP);
    $head = "POST /v1/check?answer=status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        . 'Content-Length: ' . fstat($file)['size'] . "\r\n"
        . 'Content-Type: ' . preg_replace('/[^A-Za-z0-9.+\/-]/', '', $type ?: 'application/octet-stream') . "\r\n"
        . "Hashwacht-File-Name: utf-8''" . rawurlencode($name) . "\r\n"
        . "Hashwacht-User: utf-8''" . rawurlencode((string) $user) . "\r\n"
        . ($client ? "Hashwacht-Client: $client\r\n" : '') . "\r\n";
    fwrite($connection, $head);
    stream_copy_to_stream($file, $connection);
    $answer = (string) stream_get_contents($connection);
    fclose($connection);
    fclose($file);
    $status = preg_match('/^HTTP\/1\.[01] (\d{3})/', $answer, $parts) ? (int) $parts[1] : 503;
    return [$status, $answer];
}

/** Set the error of an upload that must not be stored; WordPress shows it. */
function hashwacht_filter($file)
{
    if (!empty($file['error']) || empty($file['tmp_name'])) {
        return $file;
    }
    [$status, $answer] = hashwacht_check($file['tmp_name'], $file['name'] ?? '', $file['type'] ?? '');
    if ($status === 403) {
        $reference = preg_match('/Reference: (\w{8})/', $answer, $parts) ? " (reference $parts[1])" : '';
        $file['error'] = "This upload cannot be accepted.$reference";
    } elseif ($status !== 204) {
        $policy = defined('HASHWACHT_ON_UNDETERMINED') ? HASHWACHT_ON_UNDETERMINED : 'refuse';
        if ($policy !== 'pass' || $status === 429) {
            $file['error'] = 'This upload cannot be accepted at the moment.';
        }
    }
    return $file;
}

add_filter('wp_handle_upload_prefilter', 'hashwacht_filter', 1);
add_filter('wp_handle_sideload_prefilter', 'hashwacht_filter', 1);
